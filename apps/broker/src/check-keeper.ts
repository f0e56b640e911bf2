import { delay } from '@sluice/foundation'
import type { Logger } from 'pino'
import type { PartitionReplica } from './partition-replica.js'
import type { ReplicaCheck } from './replica-check.js'

/** Compares the replicas of the partitions that this broker leads, a range at a time, all of them in turn. */
export class CheckKeeper {
  readonly #check: ReplicaCheck
  readonly #replicas: () => Iterable<PartitionReplica>
  readonly #everyMs: number
  readonly #logger: Logger
  /** Where the next range begins, by group. */
  #next = new Map<number, number>()
  readonly #stopped = new AbortController()
  #running: Promise<void> | undefined

  constructor(parts: {
    readonly check: ReplicaCheck
    readonly replicas: () => Iterable<PartitionReplica>
    /** Between two ranges. */
    readonly everyMs: number
    readonly logger: Logger
  }) {
    this.#check = parts.check
    this.#replicas = parts.replicas
    this.#everyMs = parts.everyMs
    this.#logger = parts.logger
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the broker stops'))
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    for (;;) {
      const next = new Map<number, number>()
      for (const replica of [...this.#replicas()]) {
        if (!replica.leads || replica.materialisedOffset <= replica.logStart) continue
        await delay(this.#everyMs, signal).catch(() => undefined)
        if (signal.aborted) return
        next.set(replica.info.groupId, await this.#checkNext(replica))
      }
      this.#next = next
      await delay(this.#everyMs, signal).catch(() => undefined)
      if (signal.aborted) return
    }
  }

  /** Where to go on: at the start again, after the end. */
  async #checkNext(replica: PartitionReplica): Promise<number> {
    const from = this.#next.get(replica.info.groupId) ?? 0
    try {
      const { to, end } = await this.#check.check(replica, from, { patient: false })
      return to >= end ? 0 : to
    } catch (err) {
      this.#logger.debug({ err, partition: replica.info.name }, 'a range could not be compared')
      return from
    }
  }
}
