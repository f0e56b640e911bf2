import { BrokerError } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import { hasRetention, type TopicSettings } from '@sluice/metadata'
import type { RetentionLimits } from '@sluice/persistence'
import type { Logger } from 'pino'
import type { PartitionReplica } from './partition-replica.js'
import { RepeatedTask } from './repeated-task.js'

export interface RetentionParts {
  readonly replicas: () => Iterable<PartitionReplica>
  readonly settingsOf: (topic: string) => TopicSettings
  /** Where the partition's log may start, by what the database has of it. */
  readonly startOf: (groupId: number, limits: RetentionLimits) => Promise<number>
  /** Gives the room of deleted messages back. */
  readonly tidy: () => Promise<{ readonly dropped: number }>
  readonly clock: Clock
  /** Between two looks at every partition. */
  readonly checkMs: number
  readonly logger: Logger
}

/**
 * Deletes what topics do not keep. Only a partition's leader decides where its log starts, and says it in the
 * log, so that every replica deletes the same.
 */
export class RetentionKeeper extends RepeatedTask {
  readonly #parts: RetentionParts

  constructor(parts: RetentionParts) {
    super(parts.checkMs, (signal) => this.#checkAll(signal))
    this.#parts = parts
  }

  async #checkAll(signal: AbortSignal): Promise<void> {
    for (const replica of [...this.#parts.replicas()]) {
      if (signal.aborted) return
      await this.#check(replica)
    }
    if (!signal.aborted) await this.#tidy()
  }

  async #tidy(): Promise<void> {
    const { tidy, logger } = this.#parts
    try {
      const { dropped } = await tidy()
      if (dropped > 0) logger.info({ dropped }, 'gave back the room of deleted messages')
    } catch (err) {
      logger.warn({ err }, 'the room of deleted messages could not be given back; it is tried again')
    }
  }

  async #check(replica: PartitionReplica): Promise<void> {
    const { settingsOf, startOf, clock, logger } = this.#parts
    const settings = settingsOf(replica.info.topic)
    if (!replica.leads || !hasRetention(settings)) return
    try {
      const start = await startOf(replica.info.groupId, limitsOf(settings, clock.now()))
      const before = replica.logStart
      if (start <= before) return
      await replica.trim(start)
      logger.info(
        { partition: replica.info.name, from: before, to: start },
        'deleted messages that the topic does not keep',
      )
    } catch (err) {
      // Comes again: another broker leads by now, or the database cannot be asked.
      if (!(err instanceof BrokerError))
        logger.warn({ err, partition: replica.info.name }, 'retention could not be looked at')
    }
  }
}

function limitsOf(settings: TopicSettings, now: number): RetentionLimits {
  const { retentionMs, retentionBytes, retentionMessages } = settings
  return {
    ...(retentionMs === undefined ? {} : { oldestTimestamp: now - retentionMs }),
    ...(retentionBytes === undefined ? {} : { bytes: retentionBytes }),
    ...(retentionMessages === undefined ? {} : { messages: retentionMessages }),
  }
}
