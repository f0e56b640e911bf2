import { addTopicScenario, registerConsumerScenario, registerProducerScenario } from './admin-scenarios.js'
import { Api } from './api.js'
import { processorMs } from './cpu-meter.js'

interface MeasuredCluster {
  readonly url: string
  /** Of its supervisor: what a call costs in processor time is measured too. */
  readonly pid: number | undefined
}

export interface BoundsOptions {
  /** Is filled. */
  readonly cluster: MeasuredCluster
  /**
   * Stays small: the two are measured in turn, so that whatever else the machine does strikes both alike. Without
   * it, the one cluster is measured before it is filled and after.
   */
  readonly beside: MeasuredCluster | undefined
  readonly connections: number
  readonly seconds: number
  /** Measurements of each kind in each cluster, when they are measured in turn; their median counts. */
  readonly rounds: number
  /** What the cluster is filled with. */
  readonly topics: number
  readonly partitionsPerTopic: number
  readonly actors: number
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

interface Measured {
  readonly perSecond: number
  readonly p99Ms: number
  readonly costMs: number | undefined
  readonly faults: readonly string[]
}

/** Calls per second that a small cluster must do, and the share of them that a full one must. */
const WANTED: Readonly<Record<string, number>> = {
  'register-producer': 1500,
  'register-consumer': 1500,
  'add-topic': 300,
}
const FULL_SHARE = 0.8
/** Before every measurement. */
const WARM_UP_SECONDS = 0.5

const SCENARIOS = [registerProducerScenario, registerConsumerScenario, addTopicScenario] as const

/** Measures administration in a cluster that is small and in one that is full. */
export async function runBounds(options: BoundsOptions): Promise<readonly BoundsRow[]> {
  const { cluster, beside } = options
  await warmUp(cluster, options)
  if (beside === undefined) {
    const small = await measureAll(cluster, options, 'small')
    await fill(cluster, options)
    const full = await measureAll(cluster, options, 'full')
    return SCENARIOS.map(({ name }, i) => rowOf(name, [small[i]!], [full[i]!]))
  }
  await warmUp(beside, options)
  await fill(cluster, options)
  const rounds: { readonly small: readonly Measured[]; readonly full: readonly Measured[] }[] = []
  for (let round = 1; round <= options.rounds; round++) {
    const small = await measureAll(beside, options, `small-${round}`)
    const full = await measureAll(cluster, options, `full-${round}`)
    rounds.push({ small, full })
  }
  return SCENARIOS.map(({ name }, i) =>
    rowOf(
      name,
      rounds.map(({ small }) => small[i]!),
      rounds.map(({ full }) => full[i]!),
    ),
  )
}

async function warmUp({ url }: MeasuredCluster, options: BoundsOptions): Promise<void> {
  const { connections, runId, say } = options
  say(`warms up ${url}`)
  const context = { api: new Api(url), connections, say, seconds: 2, warmUpSeconds: WARM_UP_SECONDS }
  for (const scenario of SCENARIOS) await scenario.run({ ...context, runId: `${runId}-warm` })
}

async function measureAll(
  { url, pid }: MeasuredCluster,
  { connections, seconds, runId, say }: BoundsOptions,
  what: string,
): Promise<readonly Measured[]> {
  const measured: Measured[] = []
  const context = { api: new Api(url), connections, seconds, warmUpSeconds: WARM_UP_SECONDS, say }
  for (const scenario of SCENARIOS) {
    say(`${what}: ${scenario.name}, ${connections} connections, ${seconds} s`)
    const before = pid === undefined ? 0 : processorMs(pid)
    const { load, faults } = await scenario.run({ ...context, runId: `${runId}-${what}` })
    // The warm-up is measured with it: it makes calls at the same price.
    const share = seconds / (seconds + WARM_UP_SECONDS)
    const usedMs = pid === undefined ? undefined : (processorMs(pid) - before) * share
    const costMs = usedMs === undefined ? undefined : usedMs / load.acknowledged
    measured.push({ perSecond: load.requestsPerSecond, p99Ms: load.p99Ms, costMs, faults })
  }
  return measured
}

function rowOf(scenario: string, small: readonly Measured[], full: readonly Measured[]): BoundsRow {
  const rates = { small: median(small, 'perSecond')!, full: median(full, 'perSecond')! }
  return {
    scenario,
    ...rates,
    p99SmallMs: median(small, 'p99Ms')!,
    p99FullMs: median(full, 'p99Ms')!,
    costSmallMs: median(small, 'costMs'),
    costFullMs: median(full, 'costMs'),
    faults: [...small, ...full].flatMap(({ faults }) => faults).concat(verdictOf(scenario, rates)),
  }
}

function median(measured: readonly Measured[], of: 'perSecond' | 'p99Ms' | 'costMs'): number | undefined {
  const sorted = measured.flatMap((one) => one[of] ?? []).sort((a, b) => a - b)
  return sorted[sorted.length >>> 1]
}

function verdictOf(
  name: string,
  rates: { readonly small: number; readonly full: number },
): readonly string[] {
  const faults: string[] = []
  const wanted = WANTED[name] ?? 0
  if (rates.small < wanted)
    faults.push(`${Math.round(rates.small)}/s in a small cluster are fewer than ${wanted}`)
  if (rates.full < rates.small * FULL_SHARE) {
    const percent = Math.round((rates.full / rates.small) * 100)
    faults.push(`a full cluster does ${percent} % of what a small one does`)
  }
  return faults
}

async function fill({ url }: MeasuredCluster, options: BoundsOptions): Promise<void> {
  const api = new Api(url)
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
