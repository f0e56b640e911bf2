import { messageOf } from '@sluice/foundation'
import { isClosing, type MetadataCommand, type MetadataState } from '@sluice/metadata'
import type { Logger } from 'pino'
import type { PartitionReplica } from './partition-replica.js'

interface CloserParts {
  readonly state: () => MetadataState
  readonly replica: (groupId: number) => PartitionReplica | undefined
  readonly propose: (command: MetadataCommand) => Promise<void>
  readonly now: () => number
  /** From the last message read to the end: an answer that was lost may be asked for again. Milliseconds. */
  readonly graceMs: number
  readonly logger: Logger
}

/**
 * Brings partitions that are closing to their end. Their leader first has their own log say that they take no
 * messages, so that no manager with older metadata can add one; then it waits until there is nothing in them
 * that somebody has yet to read; then it has the metadata remove them.
 */
export class PartitionCloser {
  readonly #parts: CloserParts
  /** Since when there is nothing to read in them, by group. */
  readonly #readSince = new Map<number, number>()

  constructor(parts: CloserParts) {
    this.#parts = parts
  }

  /** One step for every partition that is led here and closing. Called again and again. */
  async round(): Promise<void> {
    const { state, replica, logger } = this.#parts
    for (const topic of state().closingTopics())
      for (const { groupId, number, name } of topic.partitions) {
        const led = isClosing(topic, number) ? replica(groupId) : undefined
        if (led?.isLeading !== true) {
          this.#readSince.delete(groupId)
          continue
        }
        try {
          await this.#step(led)
        } catch (error) {
          logger.debug({ partition: name, reason: messageOf(error) }, 'a partition could not be closed yet')
        }
      }
  }

  async #step(led: PartitionReplica): Promise<void> {
    await led.closeForGood()
    const { groupId } = led.info
    const { propose, now, graceMs } = this.#parts
    const isExpired = led.logStart === led.nextOffset
    const consumers = [...this.#parts.state().consumersOf(led.info.topic)]
    // Silent consumers count too: they may come back. For one that comes later there must be none left out.
    const isRead =
      consumers.length > 0 && consumers.every((id) => led.committedUnread(id).from >= led.nextOffset)
    if (!isExpired && !isRead) {
      this.#readSince.delete(groupId)
      return
    }
    const since = this.#readSince.get(groupId) ?? now()
    this.#readSince.set(groupId, since)
    if (now() - since < graceMs) return
    this.#readSince.delete(groupId)
    await propose({
      kind: 'remove-partition',
      at: now(),
      groupId,
      reason: isExpired ? 'it holds no messages' : `${consumers.length} consumers have read it`,
      ...(isExpired ? {} : { newestConsumer: Math.max(...consumers) }),
    })
  }
}
