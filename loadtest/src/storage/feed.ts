import type { ClusterClient } from '@sluice/client'
import { encodeRecordBatch, type GroupId } from '@sluice/domain'
import { messageOf } from '@sluice/foundation'

export interface FeedOptions {
  readonly groupIds: readonly GroupId[]
  readonly batchMessages: number
  readonly messageBytes: number
  /** Messages per second, of all partitions together. */
  readonly rate: number
  /** In all; absent: until it is stopped. */
  readonly messages?: number
}

/** Batches under way to one partition at a time. */
const IN_FLIGHT_MAX = 4
const TURN_MS = 10

/**
 * Gives partitions batches at a steady rate, over the brokers' own protocol, as fast as they take them when
 * they do not keep up. Every batch has the same content, so that making them costs nothing.
 */
export class Feed {
  readonly #client: ClusterClient
  readonly #options: FeedOptions
  readonly #batch: Uint8Array
  readonly #inFlight = new Map<GroupId, number>()
  #started = 0
  #isStopped = false
  acknowledged = 0
  failed = 0
  firstFailure: string | undefined

  constructor(client: ClusterClient, options: FeedOptions) {
    this.#client = client
    this.#options = options
    const value = Buffer.alloc(options.messageBytes, 'sluice ')
    const timestamp = Date.now()
    this.#batch = encodeRecordBatch({
      records: Array.from({ length: options.batchMessages }, () => ({
        timestamp,
        key: null,
        value,
        headers: [],
      })),
    })
  }

  async run(): Promise<void> {
    const { rate, messages = Number.POSITIVE_INFINITY, batchMessages, groupIds } = this.#options
    const began = performance.now()
    let turn = 0
    while (this.#started < messages && !this.#isStopped) {
      const due = Math.min(messages, ((performance.now() - began) / 1000) * rate)
      let skipped = 0
      while (this.#started + batchMessages <= due && skipped < groupIds.length) {
        const groupId = groupIds[turn++ % groupIds.length]!
        if ((this.#inFlight.get(groupId) ?? 0) >= IN_FLIGHT_MAX) {
          skipped++
          continue
        }
        skipped = 0
        this.#send(groupId)
      }
      if (messages - this.#started < batchMessages) break
      await new Promise((resolve) => setTimeout(resolve, TURN_MS))
    }
    while ([...this.#inFlight.values()].some((count) => count > 0))
      await new Promise((resolve) => setTimeout(resolve, TURN_MS))
  }

  /** Sends nothing more; `run` ends when what is under way is answered. */
  stop(): void {
    this.#isStopped = true
  }

  #send(groupId: GroupId): void {
    const { batchMessages } = this.#options
    this.#started += batchMessages
    this.#inFlight.set(groupId, (this.#inFlight.get(groupId) ?? 0) + 1)
    this.#client.partitions
      .produce(groupId, this.#batch, { timeoutMs: 30_000 })
      .then(
        () => {
          this.acknowledged += batchMessages
        },
        (error: unknown) => {
          this.failed += batchMessages
          this.firstFailure ??= messageOf(error)
        },
      )
      .finally(() => this.#inFlight.set(groupId, this.#inFlight.get(groupId)! - 1))
  }
}
