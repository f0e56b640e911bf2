import { membersOf } from './configuration.js'
import { BLANK } from './message.js'
import type { NodeState } from './node-state.js'
import { meetsEveryMajorityOf } from './quorum.js'
import {
  type Configuration,
  type LogIndex,
  MessageKind,
  type NodeId,
  type RaftMessage,
  type Term,
} from './types.js'

interface Answer {
  readonly term: Term
  readonly configuration: Configuration
  /** Of the entry that brought the configuration. */
  readonly configurationIndex: LogIndex
  /** What its sender had committed, leading that term; 0 when it did not lead. */
  readonly committed: LogIndex
}

/**
 * The way back of a node whose disk has lost what was durable: votes that it gave, entries that it
 * acknowledged. As in Viewstamped Replication Revisited §4.3, "it does not participate in request
 * processing" before others have told it what it may have helped to decide:
 *
 *     asking ──── a member of every majority it was part of has answered ────▶ catching up
 *       nothing else is heard or said            │ appends are acknowledged, votes are neither given nor sought
 *                                                ▼
 *              it has all that a leader had committed when it had forgotten what this node once had ──▶ done
 *
 * 1. It cannot have voted in a later term than any of those who answered has heard of, since each election
 *    that it helped to decide was heard of by one of them. It enters the latest of their terms, and votes
 *    for nobody there.
 * 2. What was committed with its help is on the leader's disk, and in the leader's commit index. It is
 *    there again before this node votes, so that no leader without it can be elected.
 */
export class Recovery {
  readonly #state: NodeState
  /** Echoed: no answer to an earlier process of this node is taken for one of these. */
  readonly #number: number
  readonly #answers = new Map<NodeId, Answer>()
  /** Heard while the members are not known, as on a node that was added and has forgotten it. */
  readonly #strangers = new Set<NodeId>()
  #isAsking = true
  /** What a leader had committed after it learned of this recovery. */
  #target: LogIndex | undefined
  #ticksToAsk = 0

  constructor(state: NodeState) {
    this.#state = state
    this.#number = 1 + state.drawNumber()
  }

  /** Nothing may be heard or said yet. */
  get isAsking(): boolean {
    return this.#isAsking
  }

  /** What the leader believes of this node may be from before. */
  get isUnknown(): boolean {
    return this.#target === undefined
  }

  /** Everything that this node may have forgotten is here again, or was decided without it. */
  get isDone(): boolean {
    const { commit, log, membership } = this.#state
    const target = this.#target
    if (this.#isAsking || target === undefined) return false
    return commit >= target && log.durableIndex >= target && this.#isAnswered(membership.configuration)
  }

  tick(): void {
    const { membership } = this.#state
    const knowsAll = this.#target !== undefined && this.#isAnswered(membership.configuration)
    if ((!this.#isAsking && knowsAll) || --this.#ticksToAsk > 0) return
    this.#ticksToAsk = this.#state.limits.heartbeatTicks
    const { id, term, log, outgoing } = this.#state
    for (const to of this.#others())
      outgoing.send({
        ...BLANK,
        kind: MessageKind.RECOVERY,
        from: id,
        to,
        term,
        index: log.lastIndex,
        context: this.#number,
      })
  }

  /** A message that must wait: its sender is a member, perhaps one that this node does not know of. */
  hears(from: NodeId): void {
    this.#strangers.add(from)
  }

  /**
   * @param configuration the sender's, of the entry at `response.index`
   * @returns the term to go on in, as soon as enough have answered
   */
  receive(response: RaftMessage, configuration: Configuration): Term | undefined {
    if (response.context !== this.#number) return undefined
    this.#answers.set(response.from, {
      term: response.term,
      configuration,
      configurationIndex: response.index,
      committed: response.hint === 1 ? response.commit : 0,
    })
    const isFirst = this.#isAsking
    if (isFirst && !this.#isAnswered(this.#newestConfiguration())) return undefined
    this.#isAsking = false
    const answers = [...this.#answers.values()]
    const term = Math.max(this.#state.term, ...answers.map((answer) => answer.term))
    this.#target ??= answers.find((answer) => answer.term === term && answer.committed > 0)?.committed
    return isFirst ? term : undefined
  }

  #isAnswered(configuration: Configuration): boolean {
    if (configuration.voters.length === 0) return false
    return meetsEveryMajorityOf(this.#state.id, configuration, (id) => this.#answers.has(id))
  }

  /** The own one may be of long ago, or lost. */
  #newestConfiguration(): Configuration {
    const { membership } = this.#state
    let newest = { configuration: membership.configuration, configurationIndex: membership.index }
    for (const answer of this.#answers.values())
      if (newest.configuration.voters.length === 0 || answer.configurationIndex > newest.configurationIndex)
        newest = answer
    return newest.configuration
  }

  #others(): ReadonlySet<NodeId> {
    const others = new Set([...membersOf(this.#newestConfiguration()), ...this.#strangers])
    others.delete(this.#state.id)
    return others
  }
}
