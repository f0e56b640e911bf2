import type { Api } from './api.js'
import type { LoadResult } from './load-run.js'
import type { ScenarioName } from './original.js'

export interface ScenarioContext {
  readonly api: Api
  readonly connections: number
  readonly seconds: number
  readonly warmUpSeconds: number
  /** Differs between runs, so that names are new in a cluster that has data. */
  readonly runId: string
  /** Says what takes its time. */
  readonly say: (text: string) => void
}

export interface ScenarioOutcome {
  readonly load: LoadResult
  /** What was found besides the rates, in sentences. */
  readonly notes: readonly string[]
  /** Reasons why the figures do not count; none when the run passed. */
  readonly faults: readonly string[]
}

export interface Scenario {
  readonly name: ScenarioName
  run(context: ScenarioContext): Promise<ScenarioOutcome>
}

/** What is wrong with a load by itself: answers that are no success, and calls without an answer. */
export function faultsOf(load: LoadResult, connections: number, expectedStatus?: number): string[] {
  const faults: string[] = []
  for (const [status, count] of Object.entries(load.statuses)) {
    const expected = status.startsWith('2') || Number(status) === expectedStatus
    if (!expected) faults.push(`${count} answers with status ${status}`)
  }
  if (load.errors > 0) faults.push(`${load.errors} connection errors`)
  if (load.timeouts > 0) faults.push(`${load.timeouts} calls without an answer in time`)
  // One call per connection is on the wire when a run ends; more were dropped by the server.
  const dropped = load.unanswered - connections
  if (dropped > 0) faults.push(`${dropped} calls whose connection was closed without an answer`)
  if (load.acknowledged === 0) faults.push('no call succeeded')
  return faults
}
