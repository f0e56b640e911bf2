import type { LogIndex, NodeId } from './types.js'

/** Who waits for a read: a caller of this node, or another node with a number of its own. */
export interface Reader {
  readonly from: NodeId
  readonly token: number
}

interface Round {
  readonly number: number
  readonly index: LogIndex
  readonly readers: readonly Reader[]
}

/**
 * Reads of one leadership (Raft thesis §6.4). Those asked for since the last round share one: the
 * commit index is noted, a heartbeat with the round's number goes out, and a quorum that echoes this
 * number or a later one shows that nobody else led when the index was noted. Each read ends by the next
 * quorum check at the latest.
 */
export class ReadQueue {
  readonly #settle: (reader: Reader, index: LogIndex | undefined) => void
  readonly #countMax: number
  #asked: Reader[] = []
  readonly #rounds: Round[] = []
  #lastRound = 0
  #count = 0

  /** @param settle is told the index to read at, or `undefined` when the read cannot be answered */
  constructor(countMax: number, settle: (reader: Reader, index: LogIndex | undefined) => void) {
    this.#countMax = countMax
    this.#settle = settle
  }

  /** Some wait for a round to be opened. */
  get hasAsked(): boolean {
    return this.#asked.length > 0
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  /** What heartbeats carry: the last round that is not confirmed, else 0. */
  get openRound(): number {
    return this.#rounds.at(-1)?.number ?? 0
  }

  /** Rounds a peer can have heard of. */
  get lastRound(): number {
    return this.#lastRound
  }

  /** False when as many wait as may. */
  ask(reader: Reader): boolean {
    if (this.#count >= this.#countMax) return false
    this.#count++
    this.#asked.push(reader)
    return true
  }

  /** A round for all that asked, at this commit index. Returns its number. */
  open(index: LogIndex): number {
    this.#lastRound++
    this.#rounds.push({ number: this.#lastRound, index, readers: this.#asked })
    this.#asked = []
    return this.#lastRound
  }

  /** A quorum has echoed this round. */
  confirm(round: number): void {
    while (this.#rounds.length > 0 && this.#rounds[0]!.number <= round) {
      const { index, readers } = this.#rounds.shift()!
      this.#count -= readers.length
      for (const reader of readers) this.#settle(reader, index)
    }
  }

  refuseAll(): void {
    const readers = [...this.#rounds.flatMap((round) => round.readers), ...this.#asked]
    this.#rounds.length = 0
    this.#asked = []
    this.#count = 0
    for (const reader of readers) this.#settle(reader, undefined)
  }
}
