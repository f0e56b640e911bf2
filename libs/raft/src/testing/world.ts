import { SeededRandom } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import { Cluster } from './cluster.js'
import { type Conditions, drawConditions, NO_NETWORK_FAULTS } from './conditions.js'
import { nodeId } from './core-driver.js'
import type { Decision } from './decision.js'
import { DecisionSource } from './decision-source.js'
import { Recovery } from './recovery.js'
import { noCounts, type RunCounts } from './run-counts.js'
import type { Sabotage } from './sabotage.js'
import { SimClients } from './sim-clients.js'
import { SimFaults } from './sim-faults.js'
import { SimNetwork } from './sim-network.js'
import { SimOperator } from './sim-operator.js'
import type { SimScript } from './sim-script.js'
import type { Surroundings } from './surroundings.js'
import { Trace } from './trace.js'
import { VirtualTime } from './virtual-time.js'

export interface WorldOptions {
  readonly seed: number
  /** Default 5. */
  readonly nodeCount?: number
  /** Default 3. */
  readonly groupCount?: number
  /** Things break until so many events have happened. Default 10,000. */
  readonly eventCount?: number
  readonly sabotage?: Sabotage
  /** Keeps the last events as text. */
  readonly verbose?: boolean
  /** Decides in place of the seed; says everything above but sabotage and verbosity, too. */
  readonly script?: SimScript
}

export interface WorldReport {
  readonly traceHash: string
  readonly counts: RunCounts
}

/** Decimals of the time of a decision, milliseconds. */
const TIME_SCALE = 1000

/**
 * A cluster in virtual time: one event is one synchronous call, chance comes from the seed alone, with
 * a stream of its own for each part. All invariants are checked after every event; when the faults
 * are over, the cluster must come together again.
 */
export class World {
  readonly #options: WorldOptions
  readonly #conditions: Conditions
  readonly #counts: RunCounts = noCounts()
  readonly #time = new VirtualTime(this.#counts)
  readonly #trace: Trace
  readonly #network: SimNetwork
  readonly #cluster: Cluster
  readonly #faults: SimFaults
  readonly #operator: SimOperator
  readonly #clients: SimClients
  readonly #decisions: Decision[] = []
  readonly #nodeCount: number
  readonly #groupCount: number
  #healAtMs: number | undefined

  constructor(options: WorldOptions) {
    const { seed, script } = options
    this.#options = options
    this.#nodeCount = script?.nodeCount ?? options.nodeCount ?? 5
    this.#groupCount = script?.groupCount ?? options.groupCount ?? 3
    this.#conditions = script?.conditions ?? drawConditions(stream(seed, 0))
    this.#trace = new Trace(options.verbose === true)
    this.#network = new SimNetwork({
      seed,
      faults: this.#conditions.network,
      now: () => this.#time.nowMs,
      later: this.#time.later,
      deliver: (from, to, frame) => this.#cluster.node(to)?.receive(from, frame),
      deliverDamaged: (from, to, frame) => this.#cluster.node(to)?.receiveDamaged(from, frame),
    })
    const around = this.#surroundings()
    this.#cluster = new Cluster(around, seed)
    this.#faults = new SimFaults(this.#cluster, this.#network, around)
    this.#operator = new SimOperator(this.#cluster, around)
    this.#clients = new SimClients(this.#cluster, this.#counts)
  }

  /** The last events, oldest first; empty unless the world is verbose. */
  get lines(): readonly string[] {
    return this.#trace.lines
  }

  /** What was decided so far: run again with it, the world does the same. */
  get script(): SimScript {
    return {
      seed: this.#options.seed,
      nodeCount: this.#nodeCount,
      groupCount: this.#groupCount,
      healAtMs: this.#healAtMs ?? this.#time.nowMs,
      conditions: this.#conditions,
      decisions: this.#decisions,
    }
  }

  /** @throws InvariantBroken, or what the library itself finds broken */
  async run(): Promise<WorldReport> {
    this.#begin()
    const { script, eventCount = 10_000 } = this.#options
    if (script === undefined) {
      this.#decideBySeed()
      await this.#time.runEvents(eventCount)
    } else {
      this.#decideByScript(script.decisions, 0)
      await this.#time.runUntil(script.healAtMs)
    }
    this.#healAtMs = this.#time.nowMs
    this.#heal()
    const recovery = new Recovery({
      cluster: this.#cluster,
      clients: this.#clients,
      operator: this.#operator,
      time: this.#time,
    })
    await recovery.run()
    return { traceHash: this.#trace.hash, counts: this.#counts }
  }

  #begin(): void {
    const random = stream(this.#options.seed, 1)
    const ids = Array.from({ length: this.#nodeCount }, (_, i) => nodeId(i + 1))
    for (let i = 0; i < ids.length; i++) this.#cluster.addNode()
    for (let group = 1; group <= this.#groupCount; group++) {
      const { voters, learners } = drawMembers(random, ids, this.#conditions.snapshots)
      this.#cluster.addGroup(group, voters, learners)
    }
    for (const node of this.#cluster.nodes) node.start()
  }

  #decideBySeed(): void {
    const source = new DecisionSource(stream(this.#options.seed, 2), this.#conditions)
    const choices = (): Parameters<DecisionSource['call']>[1] => ({
      nodes: this.#cluster.liveNodes.map(({ id }) => id),
      groups: this.#cluster.groupIds,
    })
    const placed = (delayMs: number): number =>
      Math.ceil((this.#time.nowMs + delayMs) * TIME_SCALE) / TIME_SCALE
    const keepDeciding = (delayMs: () => number, decide: (atMs: number) => Decision | undefined): void => {
      const atMs = placed(delayMs())
      this.#time.at(atMs, () => {
        if (this.#healAtMs !== undefined) return
        const decision = decide(atMs)
        if (decision !== undefined) this.#carryOut(decision)
        keepDeciding(delayMs, decide)
      })
    }
    keepDeciding(
      () => source.untilCall(),
      (atMs) => source.call(atMs, choices()),
    )
    keepDeciding(
      () => source.untilOperation(),
      (atMs) => source.operation(atMs, choices()),
    )
    keepDeciding(
      () => source.untilFault(),
      (atMs) => source.fault(atMs, choices()),
    )
  }

  #decideByScript(decisions: readonly Decision[], at: number): void {
    const decision = decisions[at]
    if (decision === undefined) return
    this.#time.at(decision.atMs, () => {
      if (this.#healAtMs !== undefined) return
      this.#carryOut(decision)
      this.#decideByScript(decisions, at + 1)
    })
  }

  #carryOut(decision: Decision): void {
    this.#decisions.push(decision)
    this.#counts.decisions++
    this.#trace.note(this.#time.nowMs, decision.kind)
    switch (decision.kind) {
      case 'write':
        this.#clients.write(decision)
        break
      case 'swap':
        this.#clients.swap(decision)
        break
      case 'read':
        this.#clients.read(decision)
        break
      default:
        if (!this.#operator.carryOut(decision)) this.#faults.carryOut(decision)
    }
  }

  /** From here on nothing breaks, and everything that is broken is mended. */
  #heal(): void {
    this.#trace.note(this.#time.nowMs, 'heal')
    this.#network.faults = NO_NETWORK_FAULTS
    this.#faults.heal()
  }

  #surroundings(): Surroundings {
    const { sabotage, seed } = this.#options
    const conditions = this.#conditions
    const counts = this.#counts
    const time = this.#time
    const rates = stream(seed, 3)
    const drawnRates = Array.from({ length: 64 }, () => 1 + (rates.next() * 2 - 1) * conditions.clockSpread)
    const isHealed = (): boolean => this.#healAtMs !== undefined
    return {
      conditions,
      trace: this.#trace,
      sabotage,
      counts,
      now: () => time.nowMs,
      later: time.later,
      promisesMoved: time.promisesMoved,
      diskTimes: () => (isHealed() ? { syncMs: 1, slowPart: 0 } : conditions.disk),
      snapshotLost: () => (isHealed() ? 0 : conditions.snapshotLost),
      clockRate: (node: NodeId) =>
        isHealed() ? 1 : (this.#faults.clockRate(node) ?? drawnRates[node % 64]!),
      send: (from, to, frame) => this.#network.send(from, to, frame),
      isCut: (from, to) => this.#network.isCut(from, to),
      sendSnapshot: (to, incarnation, source) => this.#cluster.node(to)?.receiveSnapshot(incarnation, source),
      processEnded: (node) => this.#network.processEnded(node),
      groups: () => this.#cluster.incarnations(),
      failed: time.failed,
      throwFailure: time.throwFailure,
    }
  }
}

function stream(seed: number, number: number): SeededRandom {
  return new SeededRandom(seed * 1013 + number)
}

/** All nodes, or three voters and perhaps learners: the others may be added later, where members change. */
function drawMembers(
  random: SeededRandom,
  ids: readonly NodeId[],
  mayChange: boolean,
): { readonly voters: readonly NodeId[]; readonly learners: readonly NodeId[] } {
  const voterCount = Math.min(ids.length, [ids.length, 3, 3, 4][random.below(4)]!)
  const start = random.below(ids.length)
  const order = ids.map((_, i) => ids[(start + i) % ids.length]!)
  const learnerCount = mayChange ? random.below(ids.length - voterCount + 1) : ids.length - voterCount
  return { voters: order.slice(0, voterCount), learners: order.slice(voterCount, voterCount + learnerCount) }
}
