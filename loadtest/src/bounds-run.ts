import { addTopicScenario, registerConsumerScenario, registerProducerScenario } from './admin-scenarios.js'
import { Api } from './api.js'
import { processorMs } from './cpu-meter.js'
import type { ScenarioContext, ScenarioOutcome } from './scenario.js'

export interface BoundsOptions {
  readonly url: string
  readonly connections: number
  readonly seconds: number
  /** What is added between the first measurement and the second. */
  readonly topics: number
  readonly partitionsPerTopic: number
  readonly actors: number
  /** Supervisor of the cluster: what a call costs in processor time is measured too. */
  readonly pid: number | undefined
  readonly runId: string
  readonly say: (text: string) => void
}

/** Calls per second of one kind, in a cluster that is small and in one that is full. */
export interface BoundsRow {
  readonly scenario: string
  readonly small: number
  readonly full: number
  readonly p99SmallMs: number
  readonly p99FullMs: number
  /** Processor time of the whole cluster per call, milliseconds; undefined when it was not measured. */
  readonly costSmallMs: number | undefined
  readonly costFullMs: number | undefined
  readonly faults: readonly string[]
}

interface Measured extends ScenarioOutcome {
  readonly costMs: number | undefined
}

/** Calls per second that a small cluster must do, and the share of them that a full one must. */
const WANTED: Readonly<Record<string, number>> = {
  'register-producer': 1500,
  'register-consumer': 1500,
  'add-topic': 300,
}
const FULL_SHARE = 0.8

const SCENARIOS = [registerProducerScenario, registerConsumerScenario, addTopicScenario] as const

/** Measures administration, fills the cluster, and measures it again. */
export async function runBounds(options: BoundsOptions): Promise<readonly BoundsRow[]> {
  const { url, connections, seconds, runId, say, pid } = options
  const api = new Api(url)
  const context = { api, connections, seconds, warmUpSeconds: 0.1, say }
  say('warms up')
  for (const scenario of SCENARIOS) await scenario.run({ ...context, seconds: 2, runId: `${runId}-warm` })
  const small = await measureAll({ ...context, runId: `${runId}-small` }, pid)
  await fill(api, options)
  const full = await measureAll({ ...context, runId: `${runId}-full` }, pid)
  return SCENARIOS.map(({ name }, i) => ({
    scenario: name,
    small: small[i]!.load.requestsPerSecond,
    full: full[i]!.load.requestsPerSecond,
    p99SmallMs: small[i]!.load.p99Ms,
    p99FullMs: full[i]!.load.p99Ms,
    costSmallMs: small[i]!.costMs,
    costFullMs: full[i]!.costMs,
    faults: [...small[i]!.faults, ...full[i]!.faults, ...verdictOf(name, small[i]!, full[i]!)],
  }))
}

async function measureAll(context: ScenarioContext, pid: number | undefined): Promise<readonly Measured[]> {
  const outcomes: Measured[] = []
  for (const scenario of SCENARIOS) {
    context.say(`${scenario.name}, ${context.connections} connections, ${context.seconds} s`)
    const before = pid === undefined ? 0 : processorMs(pid)
    const outcome = await scenario.run(context)
    const usedMs = pid === undefined ? undefined : processorMs(pid) - before
    const costMs = usedMs === undefined ? undefined : usedMs / outcome.load.acknowledged
    outcomes.push({ ...outcome, costMs })
  }
  return outcomes
}

function verdictOf(
  name: string,
  small: { readonly load: { readonly requestsPerSecond: number } },
  full: { readonly load: { readonly requestsPerSecond: number } },
): readonly string[] {
  const [before, after] = [small.load.requestsPerSecond, full.load.requestsPerSecond]
  const faults: string[] = []
  const wanted = WANTED[name] ?? 0
  if (before < wanted) faults.push(`${Math.round(before)}/s in a small cluster are fewer than ${wanted}`)
  if (after < before * FULL_SHARE)
    faults.push(`a full cluster does ${Math.round((after / before) * 100)} % of what a small one does`)
  return faults
}

async function fill(api: Api, options: BoundsOptions): Promise<void> {
  const { topics, partitionsPerTopic, actors, runId, connections, say } = options
  const name = (i: number): string => `bounds-${runId}-${i % Math.max(topics, 1)}`
  say(`fills: ${topics} topics of ${partitionsPerTopic} partitions`)
  await inParallel(topics, connections, (i) => api.createTopic(name(i), partitionsPerTopic))
  say(`fills: ${actors} producers and consumers`)
  await inParallel(actors, connections, (i) =>
    i % 2 === 0 ? api.registerProducer(name(i)) : api.registerConsumer(name(i)),
  )
}

async function inParallel(count: number, width: number, run: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) await run(next++)
    }),
  )
}
