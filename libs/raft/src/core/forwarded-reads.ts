import { BLANK } from './message.js'
import type { NodeState } from './node-state.js'
import { MessageKind, type RaftMessage } from './types.js'

interface Batch {
  readonly number: number
  readonly tokens: readonly number[]
  ageTicks: number
}

/**
 * Reads of a node that does not lead: the leader is asked for an index to read at (Raft thesis §6.4,
 * "followers can … ask the leader for a readIndex"), once for all that were asked since the last
 * question. Questions and answers may be lost, so a batch is given up after an election timeout.
 */
export class ForwardedReads {
  readonly #state: NodeState
  #asked: number[] = []
  #batches: Batch[] = []
  /** Begins anywhere, so that no answer to a question from before a restart is taken for one of these. */
  #lastNumber: number
  #count = 0

  constructor(state: NodeState) {
    this.#state = state
    this.#lastNumber = state.drawNumber()
  }

  get hasAsked(): boolean {
    return this.#asked.length > 0
  }

  /** False when as many wait as may. */
  ask(token: number): boolean {
    if (this.#count >= this.#state.limits.readsMax) return false
    this.#count++
    this.#asked.push(token)
    return true
  }

  /** Asks the leader for those that came together. */
  flush(): void {
    const { id, term, leader, outgoing } = this.#state
    if (this.#asked.length === 0) return
    this.#lastNumber++
    this.#batches.push({ number: this.#lastNumber, tokens: this.#asked, ageTicks: 0 })
    this.#asked = []
    if (leader === 0) return
    outgoing.send({
      ...BLANK,
      kind: MessageKind.READ_INDEX,
      from: id,
      to: leader,
      term,
      context: this.#lastNumber,
    })
  }

  receive(response: RaftMessage): void {
    if (response.from !== this.#state.leader) return
    const batch = this.#batches.find(({ number }) => number === response.context)
    if (batch === undefined) return
    this.#batches = this.#batches.filter((other) => other !== batch)
    if (response.reject) this.#refuse(batch.tokens)
    else this.#answer(batch.tokens, response.index)
  }

  tick(): void {
    if (this.#batches.length === 0) return
    const limit = this.#state.limits.electionTicks
    for (const batch of this.#batches) if (++batch.ageTicks >= limit) this.#refuse(batch.tokens)
    this.#batches = this.#batches.filter((batch) => batch.ageTicks < limit)
  }

  /** Another leader may answer, but not these questions. */
  refuseAll(): void {
    if (this.#count === 0) return
    for (const batch of this.#batches) this.#refuse(batch.tokens)
    this.#refuse(this.#asked)
    this.#batches = []
    this.#asked = []
  }

  #answer(tokens: readonly number[], index: number): void {
    this.#count -= tokens.length
    for (const token of tokens) this.#state.outgoing.answerRead(token, index)
  }

  #refuse(tokens: readonly number[]): void {
    this.#count -= tokens.length
    for (const token of tokens) this.#state.outgoing.refuseRead(token)
  }
}
