import type { PartitionClient } from '@sluice/client'
import { BrokerError, toGroupId } from '@sluice/domain'
import { type Clock, delay, toError } from '@sluice/foundation'
import type { Logger } from 'pino'

/** What a try of a call was given, perhaps, and its caller did not get. */
export interface Release {
  readonly consumerId: number
  readonly groupId: number
  /** 32 hex digits of the call. */
  readonly requestId: string
  /** Messages before it were delivered; 0: none. */
  readonly from: number
  readonly holder: number
  /** Also what an earlier try of the call was given: what that was could not be found out. */
  readonly orEarlier: boolean
}

interface Open {
  readonly release: Release
  readonly since: number
  done: Promise<void>
}

const OPEN_MAX = 10_000
const TRY_MS = 5000
const RETRY_MS = 200
/** A partition that is gone for so long is gone for good, or in the hands of an operator. */
const GIVE_UP_MS = 10 * 60_000
/** How long a stop waits for what is open. */
const CLOSE_MS = 2000

/**
 * Gives messages back to their partitions that were granted to calls whose callers never got them, so
 * that they are delivered to whoever asks next, here or elsewhere. Goes on behind the calls until the
 * partitions have taken them back; a broker refuses what another try of the same call has by then.
 */
export class Releases {
  readonly #partitions: Pick<PartitionClient, 'release'>
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #closing = new AbortController()
  readonly #open = new Map<number, Set<Open>>()
  #count = 0
  #closed = false

  constructor(parts: {
    readonly partitions: Pick<PartitionClient, 'release'>
    readonly clock: Clock
    readonly logger: Logger
  }) {
    this.#partitions = parts.partitions
    this.#clock = parts.clock
    this.#logger = parts.logger
  }

  add(release: Release): void {
    if (this.#count >= OPEN_MAX || this.#closed) {
      this.#lost(release, 'too many wait to be given back')
      return
    }
    const open: Open = { release, since: this.#clock.monotonic(), done: Promise.resolve() }
    this.#count++
    const ofConsumer = this.#open.get(release.consumerId)
    if (ofConsumer === undefined) this.#open.set(release.consumerId, new Set([open]))
    else ofConsumer.add(open)
    open.done = this.#see(open)
  }

  /** True while messages of this consumer and partition are not given back: what follows them has to wait. */
  isOpen(consumerId: number, groupId: number): boolean {
    for (const { release } of this.#open.get(consumerId) ?? []) if (release.groupId === groupId) return true
    return false
  }

  /** Resolves once nothing of the consumer is open that is not older than `ageMs`. */
  async settled(consumerId: number, ageMs: number): Promise<void> {
    const open = this.#open.get(consumerId)
    if (open === undefined) return
    // What takes longer holds up its own partition, and not every call of the consumer.
    const newestMs = Math.max(...Array.from(open, ({ since }) => since))
    const leftMs = newestMs + ageMs - this.#clock.monotonic()
    if (leftMs > 0) await this.#within([...open], leftMs)
  }

  async close(): Promise<void> {
    this.#closed = true
    const open = Array.from(this.#open.values(), (ofConsumer) => [...ofConsumer]).flat()
    await this.#within(open, CLOSE_MS)
    this.#closing.abort()
    await Promise.all(open.map(({ done }) => done))
  }

  async #within(open: readonly Open[], timeoutMs: number): Promise<void> {
    const over = new AbortController()
    await Promise.race([
      Promise.all(open.map(({ done }) => done)),
      delay(timeoutMs, over.signal).catch(() => undefined),
    ])
    over.abort()
  }

  async #see(open: Open): Promise<void> {
    const { release, since } = open
    const { groupId, ...call } = release
    try {
      while (!this.#closing.signal.aborted) {
        try {
          await this.#partitions.release(toGroupId(groupId), call, { timeoutMs: TRY_MS })
          return
        } catch (error) {
          const mayPass = error instanceof BrokerError && error.retriable
          if (!mayPass || this.#clock.monotonic() - since > GIVE_UP_MS) {
            this.#lost(release, toError(error).message)
            return
          }
        }
        await delay(RETRY_MS, this.#closing.signal).catch(() => undefined)
      }
      this.#lost(release, 'this process stops')
    } finally {
      this.#count--
      const ofConsumer = this.#open.get(release.consumerId)
      ofConsumer?.delete(open)
      if (ofConsumer?.size === 0) this.#open.delete(release.consumerId)
    }
  }

  /** Who repeats the call under its id gets them still; nobody else does. */
  #lost({ consumerId, groupId, requestId }: Release, reason: string): void {
    this.#logger.warn({ consumerId, groupId, requestId, reason }, 'messages could not be given back')
  }
}
