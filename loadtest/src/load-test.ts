import { addTopicScenario, registerConsumerScenario, registerProducerScenario } from './admin-scenarios.js'
import { Api } from './api.js'
import { BareReference } from './bare-reference.js'
import { consumeScenario } from './consume-scenario.js'
import { SCENARIO_NAMES, type ScenarioName } from './original.js'
import { produceBody, produceScenario } from './produce-scenario.js'
import { type ReportRow, toRow } from './report.js'
import type { Scenario } from './scenario.js'

export interface LoadTestOptions {
  readonly url: string
  readonly connections: readonly number[]
  readonly seconds: number
  readonly scenarios: readonly ScenarioName[]
  /** Absolute path of the compiled bare server. */
  readonly bareScript: string
  readonly runId: string
  readonly say: (text: string) => void
}

const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  produce: produceScenario,
  consume: consumeScenario,
  'register-producer': registerProducerScenario,
  'register-consumer': registerConsumerScenario,
  'add-topic': addTopicScenario,
}

/** Runs the scenarios one after the other, and the bare server once for each number of connections. */
export async function runLoadTest(options: LoadTestOptions): Promise<ReportRow[]> {
  const { url, connections, seconds, say, runId } = options
  const api = new Api(url)
  const warmUpSeconds = Math.min(2, Math.max(1, seconds / 5))
  const bare = await BareReference.start(options.bareScript)
  try {
    const bareRates = new Map<number, number>()
    for (const count of connections) {
      say(`bare Fastify, ${count} connections`)
      const body = produceBody('bare', 1)
      await bare.measure(count, warmUpSeconds, body)
      bareRates.set(count, (await bare.measure(count, Math.min(seconds, 5), body)).requestsPerSecond)
    }
    const rows: ReportRow[] = []
    // Topics last: they stay, and make the cluster that the others are measured on a larger one.
    for (const name of SCENARIO_NAMES.filter((known) => options.scenarios.includes(known))) {
      for (const count of connections) {
        say(`${name}, ${count} connections, ${seconds} s`)
        const outcome = await scenarios[name].run({
          api,
          connections: count,
          seconds,
          warmUpSeconds,
          runId,
          say,
        })
        rows.push(toRow({ scenario: name, connections: count }, outcome, bareRates.get(count) ?? 0))
      }
    }
    return rows
  } finally {
    await bare.stop()
  }
}
