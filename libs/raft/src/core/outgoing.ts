import type { LogIndex, NodeId, RaftMessage } from './types.js'

export interface AnsweredRead {
  readonly token: number
  readonly index: LogIndex
}

const NONE: readonly never[] = []

/** What a core wants to say, gathered until the next `take`. Empty lists cost nothing. */
export class Outgoing {
  #now: RaftMessage[] = []
  #afterPersist: RaftMessage[] = []
  #reads: AnsweredRead[] = []
  #readsRefused: number[] = []
  #snapshotTo: NodeId[] = []

  get isEmpty(): boolean {
    return (
      this.#now.length === 0 &&
      this.#afterPersist.length === 0 &&
      this.#reads.length === 0 &&
      this.#readsRefused.length === 0 &&
      this.#snapshotTo.length === 0
    )
  }

  /** Promises nothing about what this node stores. */
  send(message: RaftMessage): void {
    this.#now.push(message)
  }

  /** Speaks of this node's term, vote or log: leaves only once they are durable. */
  sendAfterPersist(message: RaftMessage): void {
    this.#afterPersist.push(message)
  }

  answerRead(token: number, index: LogIndex): void {
    this.#reads.push({ token, index })
  }

  refuseRead(token: number): void {
    this.#readsRefused.push(token)
  }

  /** The peer needs what is compacted here. */
  askForSnapshot(peer: NodeId): void {
    this.#snapshotTo.push(peer)
  }

  takeSnapshotTo(): readonly NodeId[] {
    if (this.#snapshotTo.length === 0) return NONE
    const taken = this.#snapshotTo
    this.#snapshotTo = []
    return taken
  }

  takeNow(): readonly RaftMessage[] {
    if (this.#now.length === 0) return NONE
    const taken = this.#now
    this.#now = []
    return taken
  }

  takeAfterPersist(): readonly RaftMessage[] {
    if (this.#afterPersist.length === 0) return NONE
    const taken = this.#afterPersist
    this.#afterPersist = []
    return taken
  }

  takeReads(): readonly AnsweredRead[] {
    if (this.#reads.length === 0) return NONE
    const taken = this.#reads
    this.#reads = []
    return taken
  }

  takeReadsRefused(): readonly number[] {
    if (this.#readsRefused.length === 0) return NONE
    const taken = this.#readsRefused
    this.#readsRefused = []
    return taken
  }
}
