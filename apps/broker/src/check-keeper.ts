import type { Logger } from 'pino'
import type { PartitionReplica } from './partition-replica.js'
import { RepeatedTask } from './repeated-task.js'
import type { ReplicaCheck } from './replica-check.js'

export interface CheckKeeperParts {
  readonly check: Pick<ReplicaCheck, 'check'>
  readonly replicas: () => Iterable<PartitionReplica>
  /** Between two ranges. */
  readonly everyMs: number
  readonly logger: Logger
}

/** Compares the replicas of the partitions that this broker leads, a range at a time, all of them in turn. */
export class CheckKeeper extends RepeatedTask {
  readonly #parts: CheckKeeperParts
  /** Replicas whose turn comes yet. */
  #turns: PartitionReplica[] = []
  /** Where the next range begins, by group. */
  readonly #next = new Map<number, number>()

  constructor(parts: CheckKeeperParts) {
    super(parts.everyMs, () => this.#checkOne())
    this.#parts = parts
  }

  async #checkOne(): Promise<void> {
    if (this.#turns.length === 0) this.#beginRound()
    for (let replica = this.#turns.pop(); replica !== undefined; replica = this.#turns.pop()) {
      if (!hasMessages(replica)) continue
      this.#next.set(replica.info.groupId, await this.#checkNext(replica))
      return
    }
  }

  #beginRound(): void {
    this.#turns = [...this.#parts.replicas()].filter(hasMessages).reverse()
    const present = new Set(this.#turns.map(({ info }) => info.groupId as number))
    for (const groupId of this.#next.keys()) if (!present.has(groupId)) this.#next.delete(groupId)
  }

  /** Where to go on: at the start again, after the end. */
  async #checkNext(replica: PartitionReplica): Promise<number> {
    const from = this.#next.get(replica.info.groupId) ?? 0
    try {
      const { to, end } = await this.#parts.check.check(replica, from, { patient: false })
      return to >= end ? 0 : to
    } catch (err) {
      this.#parts.logger.debug({ err, partition: replica.info.name }, 'a range could not be compared')
      return from
    }
  }
}

function hasMessages(replica: PartitionReplica): boolean {
  return replica.leads && replica.materialisedOffset > replica.logStart
}
