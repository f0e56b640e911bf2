import type { LogIndex, NodeId, RaftMessage } from './types.js'

export interface AnsweredRead {
  readonly token: number
  readonly index: LogIndex
}

const NONE: readonly never[] = []

/**
 * What a core wants to say, gathered until the next `take`. A process has thousands of cores that say
 * nothing for hours: a list exists only while something is in it.
 */
export class Outgoing {
  #now: RaftMessage[] | undefined
  #afterPersist: RaftMessage[] | undefined
  #reads: AnsweredRead[] | undefined
  #readsRefused: number[] | undefined
  #snapshotTo: NodeId[] | undefined

  get isEmpty(): boolean {
    return (
      this.#now === undefined &&
      this.#afterPersist === undefined &&
      this.#reads === undefined &&
      this.#readsRefused === undefined &&
      this.#snapshotTo === undefined
    )
  }

  /** Promises nothing about what this node stores. */
  send(message: RaftMessage): void {
    if (this.#now === undefined) this.#now = [message]
    else this.#now.push(message)
  }

  /** Speaks of this node's term, vote or log: leaves only once they are durable. */
  sendAfterPersist(message: RaftMessage): void {
    if (this.#afterPersist === undefined) this.#afterPersist = [message]
    else this.#afterPersist.push(message)
  }

  answerRead(token: number, index: LogIndex): void {
    this.#reads ??= []
    this.#reads.push({ token, index })
  }

  refuseRead(token: number): void {
    this.#readsRefused ??= []
    this.#readsRefused.push(token)
  }

  /** The peer needs what is compacted here. */
  askForSnapshot(peer: NodeId): void {
    this.#snapshotTo ??= []
    this.#snapshotTo.push(peer)
  }

  takeNow(): readonly RaftMessage[] {
    const taken = this.#now ?? NONE
    this.#now = undefined
    return taken
  }

  takeAfterPersist(): readonly RaftMessage[] {
    const taken = this.#afterPersist ?? NONE
    this.#afterPersist = undefined
    return taken
  }

  takeReads(): readonly AnsweredRead[] {
    const taken = this.#reads ?? NONE
    this.#reads = undefined
    return taken
  }

  takeReadsRefused(): readonly number[] {
    const taken = this.#readsRefused ?? NONE
    this.#readsRefused = undefined
    return taken
  }

  takeSnapshotTo(): readonly NodeId[] {
    const taken = this.#snapshotTo ?? NONE
    this.#snapshotTo = undefined
    return taken
  }
}
