import type { Outgoing } from './outgoing.js'
import type { LogIndex } from './types.js'

interface Round {
  readonly number: number
  readonly index: LogIndex
  readonly tokens: readonly number[]
}

/**
 * Reads of one leadership (Raft thesis §6.4). Those asked for since the last round share one: the
 * commit index is noted, a heartbeat with the round's number goes out, and a quorum that echoes this
 * number or a later one shows that nobody else led when the index was noted. As many wait as the
 * caller asks for; each ends by the next quorum check at the latest.
 */
export class ReadQueue {
  readonly #outgoing: Outgoing
  #asked: number[] = []
  readonly #rounds: Round[] = []
  #lastRound = 0

  constructor(outgoing: Outgoing) {
    this.#outgoing = outgoing
  }

  /** Some wait for a round to be opened. */
  get hasAsked(): boolean {
    return this.#asked.length > 0
  }

  /** What heartbeats carry: the last round that is not confirmed, else 0. */
  get openRound(): number {
    return this.#rounds.at(-1)?.number ?? 0
  }

  /** Rounds a peer can have heard of. */
  get lastRound(): number {
    return this.#lastRound
  }

  ask(token: number): void {
    this.#asked.push(token)
  }

  /** A round for all that asked, at this commit index. Returns its number. */
  open(index: LogIndex): number {
    this.#lastRound++
    this.#rounds.push({ number: this.#lastRound, index, tokens: this.#asked })
    this.#asked = []
    return this.#lastRound
  }

  /** A quorum has echoed this round. */
  confirm(round: number): void {
    while (this.#rounds.length > 0 && this.#rounds[0]!.number <= round) {
      const { index, tokens } = this.#rounds.shift()!
      for (const token of tokens) this.#outgoing.answerRead(token, index)
    }
  }

  refuseAll(): void {
    for (const round of this.#rounds) for (const token of round.tokens) this.#outgoing.refuseRead(token)
    for (const token of this.#asked) this.#outgoing.refuseRead(token)
    this.#rounds.length = 0
    this.#asked = []
  }
}
