import { randomBytes } from 'node:crypto'
import type { PartitionClient } from '@sluice/client'
import { readBatchHeader } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import type { PartitionInfo } from '@sluice/metadata'
import { BatchGatherer, type GathererLimits } from './batch-gatherer.js'
import { ByteBudget } from './byte-budget.js'
import type { StoredNote } from './partition-growth.js'

export interface GatherersLimits extends GathererLimits {
  /** Of everything that waits in this process, bytes. */
  readonly totalBytesMax: number
}

const EXPIRE_MS = 100

/** The gatherers of this process, one per partition, made when the first message comes. */
export class PartitionGatherers {
  readonly #gatherers = new Map<number, BatchGatherer>()
  readonly #client: Pick<PartitionClient, 'produce'>
  readonly #clock: Clock
  readonly #limits: GatherersLimits
  readonly #budget: ByteBudget
  readonly #onStored: (partition: PartitionInfo, note: StoredNote) => void
  /** Under this name the brokers know this process's batches; a restart is another producer to them. */
  readonly #producerId = randomBytes(8).readBigUInt64BE() & 0x7fff_ffff_ffff_ffffn
  #timer: NodeJS.Timeout | undefined

  constructor(parts: {
    readonly client: Pick<PartitionClient, 'produce'>
    readonly clock: Clock
    readonly limits: GatherersLimits
    /** Told whenever a batch was stored in a partition. */
    readonly onStored: (partition: PartitionInfo, note: StoredNote) => void
  }) {
    this.#client = parts.client
    this.#clock = parts.clock
    this.#limits = parts.limits
    this.#budget = new ByteBudget(parts.limits.totalBytesMax)
    this.#onStored = parts.onStored
  }

  /** From now on calls are answered when their time is up. */
  start(): void {
    this.#timer ??= setInterval(() => {
      for (const gatherer of this.#gatherers.values()) gatherer.expire()
    }, EXPIRE_MS)
  }

  isStalled(partition: PartitionInfo): boolean {
    return this.#gatherers.get(partition.groupId)?.stalled ?? false
  }

  to(partition: PartitionInfo): BatchGatherer {
    const known = this.#gatherers.get(partition.groupId)
    if (known !== undefined) return known
    const gatherer = new BatchGatherer({
      name: partition.name,
      producerId: this.#producerId,
      clock: this.#clock,
      budget: this.#budget,
      limits: this.#limits,
      send: async (batch, time) => {
        const answer = await this.#client.produce(partition.groupId, batch, time)
        if ('endOffset' in answer)
          this.#onStored(partition, {
            groupId: partition.groupId,
            end: answer.endOffset,
            records: readBatchHeader(batch).recordCount,
            bytes: batch.length,
          })
        return answer
      },
    })
    this.#gatherers.set(partition.groupId, gatherer)
    return gatherer
  }

  /** Partitions for which `exists` is false are gone: what waits for them is refused. */
  retain(exists: (groupId: number) => boolean): void {
    for (const [groupId, gatherer] of this.#gatherers) {
      if (exists(groupId)) continue
      gatherer.refuse()
      this.#gatherers.delete(groupId)
    }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const gatherer of this.#gatherers.values()) gatherer.close()
  }
}
