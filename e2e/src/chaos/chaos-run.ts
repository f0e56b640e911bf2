import { delay, messageOf, SeededRandom } from '@sluice/foundation'
import { ChaosCluster, COPIES } from './chaos-cluster.js'
import { checkEverything } from './check-everything.js'
import { awaitConvergence, awaitMetadata, drain } from './drain.js'
import { ALL_FAULT_KINDS, factsOf, type Fault, type FaultKind, faultText, parseFaultKinds } from './fault.js'
import { FaultWorker } from './fault-worker.js'
import type { Violation } from './history.js'
import type { FaultSpan } from './produce-gap.js'
import { awaitRedundancy } from './redundancy.js'
import type { RunResult, RunSettings } from './report.js'
import { type Episode, planEpisodes } from './schedule.js'
import { SmallDisk } from './small-disk.js'
import { Workload } from './workload.js'

const WARM_UP_MS = 3000
// A slow machine breaks no promise: the limits only tell "late" from "never".
const WHOLE_LIMIT_MS = 180_000
const FINISH_LIMIT_MS = 180_000
const CONVERGENCE_LIMIT_MS = 180_000
/** For the same when it is known already that something does not come back. */
const HOPELESS_LIMIT_MS = 8_000
/** With a re-injected bug what takes so long does not come back. */
const MUTANT_LIMIT_MS = 45_000
const REPLICATION_FACTOR = 3

/** One run of the suite: load, faults, healing, and then the checks. */
export class ChaosRun {
  readonly #settings: RunSettings
  readonly #say: (text: string) => void
  readonly #stop: AbortSignal
  readonly #logs: string | undefined
  readonly #notes: string[] = []
  readonly #violations: Violation[] = []
  readonly #spans: FaultSpan[] = []
  /** Something does not come back: nothing is waited for any more. */
  #isHopeless = false

  /**
   * @param stop ends the run early, with everything put away
   * @param logs a directory for what the processes wrote, when a promise was broken
   */
  constructor(settings: RunSettings, say: (text: string) => void, stop: AbortSignal, logs?: string) {
    this.#settings = settings
    this.#logs = logs
    this.#say = say
    this.#stop = stop
  }

  async run(): Promise<RunResult> {
    const { seed, brokers, minutes, mutant } = this.#settings
    const random = new SeededRandom(seed)
    const kinds = await this.#possibleKinds()
    const episodes = planEpisodes({
      random,
      brokerCount: brokers,
      copies: COPIES,
      kinds,
      durationMs: minutes * 60_000,
    })
    const hasSmallDisk = kinds.includes('disk-full')
    const cluster = await ChaosCluster.start({
      brokers,
      random: new SeededRandom(seed + 1),
      hasSmallDisk,
      mutant,
    })
    let workload: Workload | undefined
    try {
      workload = await Workload.start(cluster.ports, new SeededRandom(seed + 2))
      const startedMs = performance.now()
      await delay(WARM_UP_MS, this.#stop)
      await this.#play(episodes, cluster, startedMs + minutes * 60_000)
      this.#say('healed; the clients finish')
      const finishLimitMs = this.#patience(FINISH_LIMIT_MS)
      if (!(await workload.finish(finishLimitMs)))
        this.#violations.push({
          check: 'recovery',
          detail: `clients did not come to their end after everything was healed, or nobody got further for ${finishLimitMs} ms`,
        })
      const endedMs = performance.now()
      const violations = await this.#judge(cluster, workload)
      if (violations.length > 0 && this.#logs !== undefined) await cluster.copyLogs(this.#logs)
      return {
        settings: this.#settings,
        startedMs,
        endedMs,
        spans: this.#spans,
        acknowledged: workload.acknowledged,
        history: workload.history(),
        violations,
        notes: this.#notes,
      }
    } finally {
      workload?.close()
      await cluster.destroy()
    }
  }

  /** Faults that this machine cannot make are left out, and the report says which and why. */
  async #possibleKinds(): Promise<readonly FaultKind[]> {
    const { faults, brokers } = this.#settings
    let kinds = faults === '' ? ALL_FAULT_KINDS : parseFaultKinds(faults)
    // With three brokers a minority is one.
    if (brokers === 3) kinds = kinds.filter((kind) => kind !== 'kill-minority' && kind !== 'pause-minority')
    const obstacle = kinds.includes('disk-full') ? await SmallDisk.obstacle() : undefined
    if (obstacle === undefined) return kinds
    this.#note(`disk-full was left out, since no small file system can be mounted here: ${obstacle}`)
    return kinds.filter((kind) => kind !== 'disk-full')
  }

  async #play(episodes: readonly Episode[], cluster: ChaosCluster, endMs: number): Promise<void> {
    const worker = new FaultWorker(cluster, (text) => this.#note(text))
    for (const { faults, holdMs, quietMs } of episodes) {
      if (performance.now() > endMs) return
      const name = faults.map(faultText).join(' + ')
      this.#say(`${name} for ${(holdMs / 1000).toFixed(1)} s`)
      const fromMs = performance.now()
      const inOrder = faults.toSorted((a, b) => healingRank(a) - healingRank(b))
      const heals = await Promise.all(inOrder.map((fault) => worker.apply(fault)))
      await delay(holdMs, this.#stop)
      const healedMs = performance.now()
      for (const heal of heals)
        await heal().catch((error: unknown) =>
          this.#violations.push({ check: 'recovery', detail: `after ${name}: ${messageOf(error)}` }),
        )
      const wholeLimitMs = this.#settings.mutant === '' ? WHOLE_LIMIT_MS : MUTANT_LIMIT_MS
      const missing = await cluster.untilReady(wholeLimitMs)
      this.#spans.push({ name, fromMs, healedMs, wholeMs: performance.now() })
      if (missing.length > 0) {
        this.#isHopeless = true
        const last = missing
          .filter((text) => text.startsWith('broker '))
          .map((text) => `${text}: ${cluster.brokerSaid(Number(text.slice(7)), 3).join(' ')}`)
        this.#violations.push({
          check: 'recovery',
          detail: `after ${name}: ${missing.join(', ')} did not serve again within ${wholeLimitMs} ms. ${last.join(' ')}`,
        })
        return
      }
      const lacking = await awaitRedundancy(cluster, this.#patience(WHOLE_LIMIT_MS), name)
      if (lacking.length > 0) {
        this.#isHopeless = true
        this.#violations.push(...lacking)
        return
      }
      await delay(quietMs, this.#stop)
    }
  }

  /** What cannot be looked at is a violation too: it says why. */
  async #judge(cluster: ChaosCluster, workload: Workload): Promise<readonly Violation[]> {
    const limitMs = this.#patience(CONVERGENCE_LIMIT_MS)
    const violations = [...this.#violations, ...(await awaitConvergence(cluster, limitMs))]
    try {
      await awaitMetadata(cluster, this.#patience(limitMs))
      this.#say('reading every replica')
      const contents = await drain(cluster)
      violations.push(...checkEverything(workload.history(), contents, REPLICATION_FACTOR))
    } catch (error) {
      violations.push({ check: 'recovery', detail: `the replicas cannot be read: ${messageOf(error)}` })
    }
    return violations
  }

  #patience(limitMs: number): number {
    if (this.#isHopeless) return HOPELESS_LIMIT_MS
    return this.#settings.mutant === '' ? limitMs : Math.min(limitMs, MUTANT_LIMIT_MS)
  }

  #note(text: string): void {
    this.#notes.push(text)
    this.#say(text)
  }
}

/** What is healed by taking the fault away goes first: a database is made whole, and a broker drained, by the others. */
function healingRank({ kind }: Fault): number {
  if (factsOf(kind).family === 'membership') return 2
  return kind === 'postgres-emptied' || kind === 'postgres-restored' ? 1 : 0
}
