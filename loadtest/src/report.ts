import type { LoadResult } from './load-run.js'
import { ORIGINAL, ORIGINAL_CONNECTIONS, type ScenarioName } from './original.js'
import type { ScenarioOutcome } from './scenario.js'

/** One scenario at one number of connections. */
export interface ReportRow {
  readonly scenario: ScenarioName
  readonly connections: number
  readonly verdict: 'passed' | 'failed'
  readonly load: LoadResult
  /** Rate of the bare server with as many connections, in the same run. */
  readonly bareRequestsPerSecond: number
  /** Our rate as a share of it. */
  readonly bareRatio: number
  readonly faults: readonly string[]
  readonly notes: readonly string[]
}

export function toRow(
  place: { readonly scenario: ScenarioName; readonly connections: number },
  { load, faults, notes }: ScenarioOutcome,
  bareRequestsPerSecond: number,
): ReportRow {
  return {
    ...place,
    verdict: faults.length === 0 ? 'passed' : 'failed',
    load,
    bareRequestsPerSecond,
    bareRatio: bareRequestsPerSecond > 0 ? load.requestsPerSecond / bareRequestsPerSecond : 0,
    faults,
    notes,
  }
}

const headings = [
  'scenario',
  'conn',
  'req/s',
  'p50 ms',
  'p99 ms',
  'failed',
  'of bare',
  'original req/s',
  'original ms',
  'verdict',
]

/** The table as lines, and under it what was found. */
export function describeReport(rows: readonly ReportRow[]): string[] {
  const cells = rows.map((row) => [
    row.scenario,
    String(row.connections),
    row.load.requestsPerSecond.toFixed(0),
    row.load.p50Ms.toFixed(2),
    row.load.p99Ms.toFixed(2),
    String(failedCount(row.load)),
    `${(row.bareRatio * 100).toFixed(1)} %`,
    originalRate(row),
    originalLatency(row),
    row.verdict,
  ])
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...cells.map((line) => line[column]!.length)),
  )
  const align = (line: readonly string[]): string =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
  const bare = new Map(rows.map((row) => [row.connections, row.bareRequestsPerSecond]))
  return [
    align(headings),
    widths.map((width) => '-'.repeat(width)).join('  '),
    ...cells.map(align),
    '',
    `bare Fastify: ${[...bare].map(([connections, rate]) => `${rate.toFixed(0)} req/s at ${connections}`).join(', ')}`,
    ...rows.flatMap((row) => [
      ...row.notes.map((note) => `${row.scenario} at ${row.connections}: ${note}`),
      ...row.faults.map((fault) => `FAILED ${row.scenario} at ${row.connections}: ${fault}`),
    ]),
  ]
}

/** Answers that are no success, and calls without one; those on the wire at the end are not among them. */
function failedCount(load: LoadResult): number {
  const answers = Object.values(load.statuses).reduce((sum, count) => sum + count, 0)
  return answers - load.acknowledged + load.errors + load.timeouts
}

function originalRate({ scenario, connections }: ReportRow): string {
  if (connections !== ORIGINAL_CONNECTIONS) return '-'
  const [low, high] = ORIGINAL[scenario].requestsPerSecond
  return low === high ? String(low) : `${low}–${high}`
}

function originalLatency({ scenario, connections }: ReportRow): string {
  const { p50MsAlone, p99 } = ORIGINAL[scenario]
  if (connections === 1 && p50MsAlone !== null) return `p50 ${p50MsAlone}`
  if (connections === ORIGINAL_CONNECTIONS && p99 !== null) return `p99 ${p99}`
  return '-'
}
