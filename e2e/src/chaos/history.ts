/** Where a message is: its partition by name, and its offset in it. */
export interface Place {
  readonly partition: string
  readonly offset: number
}

/** One message of a producer, with everything the cluster said about it. Times are of one clock, milliseconds. */
export interface SentMessage {
  /** The stream it belongs to: within one the next message is sent when the one before is acknowledged. */
  readonly lane: string
  /** From 0, in the order of the lane. */
  readonly number: number
  readonly topic: string
  readonly value: string
  readonly sentMs: number
  /** Attempts that ended without an answer, or with one that leaves open whether the message is stored. */
  unknownAttempts: number
  /** Attempts that were refused with the word that nothing was stored. */
  refusedAttempts: number
  acknowledged: (Place & { readonly atMs: number }) | undefined
}

/** A produce call that succeeded. */
export interface Acknowledgement {
  readonly lane: string
  readonly atMs: number
  /** Messages in it. */
  readonly count: number
}

/** What a consumer saw, in its order. */
export type ConsumerEvent =
  | ({
      readonly kind: 'delivered'
      readonly value: string
      readonly atMs: number
      /** The call that brought it, in words. */
      readonly call?: string
    } & Place)
  /** So many messages before those that are delivered next were deleted, as the cluster has said. */
  | { readonly kind: 'skipped'; readonly partition: string; readonly count: number }
  /** The position was moved behind this offset, and the cluster has said so. */
  | ({ readonly kind: 'acknowledged' } & Place)
  /** A call that began then was told that nothing is left. */
  | { readonly kind: 'empty'; readonly startedMs: number }

export interface ConsumerHistory {
  readonly name: string
  readonly topic: string
  readonly ack: 'auto' | 'manual'
  /** It was registered when the oldest messages were deleted already. */
  readonly isLate: boolean
  readonly events: ConsumerEvent[]
  /**
   * How it ended: told that nothing is left; told that messages were deleted before it read them, which it did not
   * want; or cut off, by the end of the run or by an answer that is wrong itself.
   */
  end: 'nothing-left' | 'refused' | 'cut-off'
}

/** A call that changes the metadata. */
export interface Registration {
  readonly kind: 'topic' | 'producer' | 'consumer'
  readonly topic: string
  /** Absent for topics, and for calls whose outcome is not known. */
  readonly id?: number
  readonly startedMs: number
  readonly endedMs: number
  readonly outcome: 'acknowledged' | 'unknown'
}

/** A correct call that was answered with a failure which is said not to pass. */
export interface WrongAnswer {
  readonly call: string
  readonly status: number
  readonly body: string
  readonly atMs: number
}

/** Everything the clients know when the run is over. */
export interface History {
  readonly sent: readonly SentMessage[]
  readonly consumers: readonly ConsumerHistory[]
  readonly registrations: readonly Registration[]
  readonly wrongAnswers: readonly WrongAnswer[]
  /** By topic: of how many messages at least each partition keeps the newest; topics that keep all are left out. */
  readonly kept: ReadonlyMap<string, number>
}

export interface StoredMessage {
  readonly offset: number
  readonly value: string
}

/** What one broker's database holds. */
export interface ReplicaContents {
  readonly brokerId: number
  /** By the partition's name, in the order of the offsets. */
  readonly partitions: ReadonlyMap<string, readonly StoredMessage[]>
  /** Where the log of each partition starts: 0, or what was before is deleted. */
  readonly starts: ReadonlyMap<string, number>
}

/** The metadata as one broker's database shows it. */
export interface MetadataContents {
  readonly brokerId: number
  readonly topics: readonly string[]
  readonly producers: ReadonlyMap<number, string>
  readonly consumers: ReadonlyMap<number, string>
}

/** What is left when everything is healed, from every source there is. */
export interface Contents {
  readonly replicas: readonly ReplicaContents[]
  /** What a new consumer reads through the public API. */
  readonly read: ReadonlyMap<string, readonly StoredMessage[]>
  readonly metadata: readonly MetadataContents[]
  /** Topics that the API lists. */
  readonly topics: readonly string[]
}

/** A broken promise. */
export interface Violation {
  readonly check: string
  readonly detail: string
}

/** Where a partition's log starts, by the replica that has deleted most; that they differ is another check's. */
export function logStartOf(partition: string, { replicas }: Contents): number {
  return Math.max(0, ...replicas.map(({ starts }) => starts.get(partition) ?? 0))
}
