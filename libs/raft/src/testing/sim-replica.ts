import { unreachable, invariant } from '@sluice/foundation'
import {
  type Configuration,
  type Entry,
  type HardState,
  type LogIndex,
  type NodeId,
  type SnapshotMeta,
  Role,
  type Term,
} from '../core/types.js'
import type { PeerProgress } from '../core/progress.js'
import type { RaftGroup } from '../host/raft-group.js'
import type { ReadOutcome } from '../host/waiting-reads.js'
import type { MemoryLog } from '../storage/memory-log.js'
import type { Call, CallOutcome } from './call.js'
import type { GroupIncarnation } from './group-incarnation.js'
import { encodeCommand } from './invariants/fingerprint.js'
import type { ObservedDisk, ObservedReplica } from './invariants/invariant-check.js'
import { DurableLog, SimLog } from './sim-log.js'
import type { SimMachine } from './sim-machine.js'
import type { Surroundings } from './surroundings.js'

type Answer = Exclude<CallOutcome, 'pending'>

interface Proposal {
  readonly call: Call
  readonly index: LogIndex
  readonly term: Term
}

/** A group on one node from when it is opened there until it is closed, or its process ends. */
export class SimReplica implements ObservedReplica {
  readonly node: NodeId
  readonly opening: number
  readonly incarnation: GroupIncarnation
  readonly machine: SimMachine
  readonly group: RaftGroup
  role: Role = Role.FOLLOWER
  term: Term = 0
  leader: NodeId | 0 = 0
  commit: LogIndex = 0
  applied: LogIndex = 0
  isQuiesced = false
  changedFrom = Number.POSITIVE_INFINITY
  readonly #around: Surroundings
  readonly #durable: () => DurableLog | undefined
  readonly #silentTicks: (peer: NodeId) => number
  #hardState: HardState | undefined
  #isUnsettled = true
  /** By term. One index may stand for several: a leadership later, another command has it. */
  #proposals: Proposal[] = []
  readonly #reads = new Set<Call>()

  constructor(parts: {
    readonly node: NodeId
    readonly opening: number
    readonly incarnation: GroupIncarnation
    readonly machine: SimMachine
    readonly group: RaftGroup
    readonly around: Surroundings
    readonly durable: () => DurableLog | undefined
    readonly silentTicks: (peer: NodeId) => number
  }) {
    this.node = parts.node
    this.opening = parts.opening
    this.incarnation = parts.incarnation
    this.machine = parts.machine
    this.group = parts.group
    this.#around = parts.around
    this.#durable = parts.durable
    this.#silentTicks = parts.silentTicks
    this.#look()
    this.incarnation.checks.opened(this)
  }

  get configuration(): Configuration {
    return this.group.configuration
  }

  get simLog(): SimLog {
    const { log } = this.group
    invariant(log instanceof SimLog, 'a simulated node has simulated logs')
    return log
  }

  get log(): MemoryLog {
    return this.simLog.memory
  }

  get hardState(): HardState {
    return this.simLog.hardState
  }

  get disk(): ObservedDisk {
    return this.#durable() ?? new DurableLog(this.simLog)
  }

  get stateHash(): number {
    return this.machine.state.hash
  }

  get waitingCount(): number {
    return this.#reads.size
  }

  get isLeader(): boolean {
    return this.group.isLeader
  }

  silentTicks(peer: NodeId): number {
    return this.#silentTicks(peer)
  }

  progress(peer: NodeId): PeerProgress | undefined {
    return this.group.progress(peer)
  }

  /**
   * An event of the node is over: every law looks at what it did here.
   * @param isCurrent nothing that was decided waits to be handed out
   */
  observe(isCurrent: boolean): void {
    const changed = this.#look()
    const { checks } = this.incarnation
    if (changed) checks.stepped(this)
    if (!isCurrent) {
      this.#isUnsettled ||= changed
      return
    }
    this.changedFrom = this.log.takeChangedFrom()
    const isNews = changed || this.#isUnsettled || this.changedFrom !== Number.POSITIVE_INFINITY
    if (!isNews && this.role !== Role.LEADER) return
    this.#isUnsettled = false
    checks.settled(this)
  }

  /** All of them in one proposal. */
  propose(calls: readonly Call[], sizeBytes: number): void {
    const { tag } = this.incarnation
    const commands = calls.map(({ serial, kind, key, expected }) =>
      encodeCommand({ serial, key, expected, tag, isSwap: kind === 'swap' }, sizeBytes),
    )
    const outcome = this.group.propose(commands)
    if (outcome.kind !== 'accepted') {
      for (const call of calls) this.#answer(call, 'refused')
      return
    }
    const { firstIndex, term } = outcome
    calls.forEach((call, i) => this.#proposals.push({ call, index: firstIndex + i, term }))
    if (this.#around.sabotage !== 'acknowledges-before-commit') return
    calls.forEach((call, i) => {
      call.index = firstIndex + i
      this.#answer(call, 'done')
    })
    this.#proposals = []
  }

  read(call: Call): void {
    this.#reads.add(call)
    if (this.#around.sabotage === 'never-answers-reads') return
    if (this.#around.sabotage === 'reads-without-asking') this.#readDone(call, { kind: 'ready', index: 0 })
    else this.group.readIndex((outcome) => this.#readDone(call, outcome))
  }

  /** The machine has applied an entry. */
  entryApplied(entry: Entry, previous: number): void {
    this.incarnation.checks.applied(this, entry)
    this.#settle(({ call, index, term }) => {
      if (index === entry.index && term === entry.term) {
        call.index = index
        call.previous = previous
        return 'done'
      }
      // No entry of an earlier term can follow this one: terms in a log never decrease.
      return index <= entry.index || term < entry.term ? 'refused' : undefined
    })
  }

  /** The machine's state is, or is now, that of a snapshot. */
  snapshotTaken(meta: SnapshotMeta, about: { stateHash: number; isRestored: boolean }): void {
    this.incarnation.checks.snapshot(this, meta, about)
    const { counts } = this.#around
    if (!about.isRestored) {
      counts.snapshotsMade++
      return
    }
    counts.snapshotsInstalled++
    this.#settle(({ index, term }) => {
      if (index <= meta.index) return 'unknown'
      return term < meta.term ? 'refused' : undefined
    })
  }

  /** The group is closed here, or its process has ended. */
  close(): void {
    this.machine.close()
    this.abandon()
  }

  /** Whoever waits will not hear from here. */
  abandon(): void {
    this.#settle(() => 'unknown')
    for (const call of this.#reads) this.#answer(call, 'refused')
    this.#reads.clear()
  }

  /** Takes over what the group says of itself. True when something is new. */
  #look(): boolean {
    const { group } = this
    const { role, term, leader } = group.state
    const { commit, applied, isQuiesced } = group
    const { hardState } = this
    const isSame =
      role === this.role &&
      term === this.term &&
      leader === this.leader &&
      commit === this.commit &&
      applied === this.applied &&
      isQuiesced === this.isQuiesced &&
      hardState === this.#hardState
    if (isSame) return false
    const { trace, counts } = this.#around
    if (role === Role.LEADER && this.role !== Role.LEADER) counts.elections++
    if (isQuiesced && !this.isQuiesced) counts.sleeps++
    this.role = role
    this.term = term
    this.leader = leader
    this.commit = commit
    this.applied = applied
    this.isQuiesced = isQuiesced
    this.#hardState = hardState
    trace.replica(this.#around.now(), this)
    return true
  }

  /** Answers those for which there is an answer. */
  #settle(outcomeOf: (proposal: Proposal) => Answer | undefined): void {
    if (this.#proposals.length === 0) return
    const proposals = this.#proposals
    this.#proposals = []
    for (const proposal of proposals) {
      const outcome = outcomeOf(proposal)
      if (outcome === undefined) this.#proposals.push(proposal)
      else this.#answer(proposal.call, outcome)
    }
  }

  #readDone(call: Call, outcome: ReadOutcome): void {
    if (!this.#reads.delete(call)) return
    switch (outcome.kind) {
      case 'ready': {
        const { serial, index } = this.machine.state.register(call.key)
        call.previous = serial
        call.index = index
        call.applied = this.machine.state.applied
        this.#answer(call, 'done')
        break
      }
      case 'not-leader':
      case 'overloaded':
        this.#answer(call, 'refused')
        break
      default:
        unreachable(outcome)
    }
  }

  #answer(call: Call, outcome: Answer): void {
    const { counts } = this.#around
    if (outcome !== 'done') counts[outcome]++
    else if (call.kind === 'read') counts.reads++
    else counts.acknowledged++
    call.outcome = outcome
    call.answeredAt = counts.events
    this.incarnation.checks.answered(call)
  }
}
