import { SeededRandom } from '@sluice/foundation'
import type { LogIndex } from '../core/types.js'
import { type Conditions, drawConditions } from './conditions.js'
import { nodeId } from './core-driver.js'
import { EventHeap } from './event-heap.js'
import { allInvariants } from './invariants/all-invariants.js'
import { InvariantBroken } from './invariants/invariant-check.js'
import { SimDisk, type SyncTimes } from './sim-disk.js'
import { PAUSE_MS_MAX, SimFaults } from './sim-faults.js'
import { NO_NETWORK_FAULTS, SimNetwork } from './sim-network.js'
import { type Sabotage, SimNode, type SimNodeSettings } from './sim-node.js'
import { Trace } from './trace.js'

export interface WorldOptions {
  readonly seed: number
  readonly nodeCount: number
  /** So many of the nodes are learners. Default 0. */
  readonly learnerCount?: number
  /** How long things break. Virtual milliseconds. Default 2000. */
  readonly faultsMs?: number
  readonly sabotage?: Sabotage
  /** Keeps the last events as text. */
  readonly verbose?: boolean
}

export interface WorldReport {
  readonly traceHash: string
  readonly eventCount: number
  readonly acknowledgedCount: number
  readonly readCount: number
  readonly lastTerm: number
  readonly lastIndex: LogIndex
}

const TICK_MS = 10
const ELECTION_TICKS = 10
const CONVERGENCE_MS_MAX = 5000

/**
 * A cluster in virtual time: one event is one synchronous call, chance comes from the seed alone, with
 * a stream of its own for each part. All invariants are checked after every event; when the faults
 * are over, the cluster must come together again.
 */
export class World {
  readonly #options: WorldOptions
  readonly #conditions: Conditions
  readonly #events = new EventHeap()
  readonly #trace: Trace
  readonly #nodes: SimNode[] = []
  readonly #network: SimNetwork
  readonly #faults: SimFaults
  readonly #workload: SeededRandom
  readonly #checks: ReturnType<typeof allInvariants>
  readonly #syncTimes: { -readonly [K in keyof SyncTimes]: SyncTimes[K] }
  #nowMs = 0
  #eventCount = 0
  #nextSerial = 1
  #acknowledgedIndex: LogIndex = 0
  #acknowledgedCount = 0
  #readCount = 0
  #clientsStopped = false

  constructor(options: WorldOptions) {
    this.#options = options
    const stream = (number: number): SeededRandom => new SeededRandom(options.seed * 1000 + number)
    this.#conditions = drawConditions(stream(0))
    this.#workload = stream(1)
    this.#trace = new Trace(options.verbose === true)
    this.#syncTimes = { ...this.#conditions.sync }
    const now = (): number => this.#nowMs
    const later = (delayMs: number, run: () => void): void => this.#events.add(this.#nowMs + delayMs, run)
    const voterCount = options.nodeCount - (options.learnerCount ?? 0)
    this.#checks = allInvariants({ nodes: this.#nodes, voterCount })
    this.#network = new SimNetwork({
      random: stream(2),
      faults: this.#conditions.network,
      now,
      later,
      deliver: (envelope) => this.#nodes[envelope.message.to - 1]!.receive(envelope),
    })
    const settings = this.#nodeSettings(voterCount)
    for (let id = 1; id <= options.nodeCount; id++)
      this.#nodes.push(
        new SimNode({
          id: nodeId(id),
          disk: new SimDisk({ random: stream(100 + id), times: this.#syncTimes, later }),
          settings,
          random: stream(200 + id),
          around: {
            checks: this.#checks,
            trace: this.#trace,
            now,
            later,
            send: (envelope) => this.#network.send(envelope),
            acknowledged: (serial, index) => this.#acknowledged(serial, index),
            acknowledgedIndex: () => this.#acknowledgedIndex,
          },
        }),
      )
    this.#faults = new SimFaults(
      { nodes: this.#nodes, network: this.#network, trace: this.#trace, now, later },
      stream(3),
      this.#conditions.faultEveryMs,
    )
  }

  /** The last events, oldest first; empty unless the world is verbose. */
  get lines(): readonly string[] {
    return this.#trace.lines
  }

  /** @throws InvariantBroken, or what the core itself finds broken */
  run(): WorldReport {
    for (const node of this.#nodes) node.start()
    this.#keepProposing()
    this.#keepReading()
    this.#faults.start()
    this.#runUntilMs(this.#options.faultsMs ?? 2000)
    this.#heal()
    this.#runUntil(() => this.#hasConverged(), 'all nodes converge after the faults')
    this.#commitFresh()
    this.#stayCalm()
    this.#checks.converged({ nodes: this.#nodes, voterCount: this.#nodes.length })
    return {
      traceHash: this.#trace.hash,
      eventCount: this.#eventCount,
      acknowledgedCount: this.#acknowledgedCount,
      readCount: this.#readCount,
      lastTerm: this.#nodes[0]!.term,
      lastIndex: this.#nodes[0]!.commit,
    }
  }

  #nodeSettings(voterCount: number): SimNodeSettings {
    const { inflightMessagesMax, inflightBytesMax, appendBytesMax, uncommittedBytesMax } = this.#conditions
    const ids = Array.from({ length: this.#options.nodeCount }, (_, i) => nodeId(i + 1))
    return {
      core: {
        voters: ids.slice(0, voterCount),
        learners: ids.slice(voterCount),
        electionTicks: ELECTION_TICKS,
        inflightMessagesMax,
        inflightBytesMax,
        appendBytesMax,
        uncommittedBytesMax,
      },
      tickMs: TICK_MS,
      turnDelayMs: this.#conditions.turnDelayMs,
      applyDelayMs: this.#conditions.applyDelayMs,
      sabotage: this.#options.sabotage,
    }
  }

  #acknowledged(serial: number, index: LogIndex): void {
    this.#acknowledgedCount++
    this.#acknowledgedIndex = Math.max(this.#acknowledgedIndex, index)
    this.#checks.acknowledged(serial, index)
  }

  /** Clients know the leader mostly, and sometimes try another node. */
  #clientTarget(): SimNode {
    const leaders = this.#nodes.filter((node) => node.isLeader)
    const candidates = leaders.length > 0 && this.#workload.below(10) > 0 ? leaders : this.#nodes
    return candidates[this.#workload.below(candidates.length)]!
  }

  #keepProposing(): void {
    this.#events.add(this.#nowMs + this.#workload.next() * 2 * this.#conditions.proposeEveryMs, () => {
      if (this.#clientsStopped) return
      this.#propose(this.#clientTarget(), 1 + this.#workload.below(4))
      this.#keepProposing()
    })
  }

  #propose(node: SimNode, count: number): void {
    const serials = Array.from({ length: count }, () => this.#nextSerial++)
    node.propose(serials, this.#workload.below(120))
  }

  #keepReading(): void {
    this.#events.add(this.#nowMs + this.#workload.next() * 40, () => {
      if (this.#clientsStopped) return
      this.#readCount++
      this.#clientTarget().read()
      this.#keepReading()
    })
  }

  #heal(): void {
    this.#clientsStopped = true
    this.#network.faults = NO_NETWORK_FAULTS
    this.#syncTimes.slowPart = 0
    for (const node of this.#nodes) node.hurry()
    this.#faults.stop()
    this.#runUntilMs(this.#nowMs + PAUSE_MS_MAX)
  }

  #hasConverged(): boolean {
    const leaders = this.#nodes.filter((node) => node.isLeader)
    const leader = leaders[0]
    if (leader === undefined || leaders.length > 1) return false
    const last = leader.log.lastIndex
    return this.#nodes.every(
      (node) => node.term === leader.term && node.log.lastIndex === last && node.applied === last,
    )
  }

  /** A fresh proposal commits and is applied everywhere. */
  #commitFresh(): void {
    const leader = this.#nodes.find((node) => node.isLeader)!
    const before = this.#acknowledgedCount
    this.#propose(leader, 3)
    this.#runUntil(
      () => this.#acknowledgedCount === before + 3 && this.#hasConverged(),
      'a fresh proposal commits everywhere',
    )
  }

  /** Without faults the leader stays. */
  #stayCalm(): void {
    const leader = this.#nodes.find((node) => node.isLeader)!
    const term = leader.term
    this.#runUntilMs(this.#nowMs + 5 * ELECTION_TICKS * TICK_MS)
    if (!leader.isLeader || leader.term !== term)
      throw new InvariantBroken('liveness: a leader stays when nothing breaks')
  }

  #runUntil(condition: () => boolean, promise: string): void {
    const limitMs = this.#nowMs + CONVERGENCE_MS_MAX
    while (!condition()) {
      if (this.#nowMs > limitMs) throw new InvariantBroken(`liveness: ${promise}`)
      this.#runUntilMs(this.#nowMs + TICK_MS)
    }
  }

  #runUntilMs(untilMs: number): void {
    for (
      let next = this.#events.peek();
      next !== undefined && next.atMs <= untilMs;
      next = this.#events.peek()
    ) {
      this.#events.pop()
      this.#nowMs = next.atMs
      this.#eventCount++
      next.run()
    }
    this.#nowMs = untilMs
  }
}
