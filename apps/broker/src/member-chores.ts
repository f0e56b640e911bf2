import type { Clock } from '@sluice/foundation'
import { isLeaving } from '@sluice/metadata'
import type { RaftHost, Wal } from '@sluice/raft'
import type { Logger } from 'pino'
import type { ActivityGatherer } from './activity-gatherer.js'
import type { ClusterBalancer } from './cluster-balancer.js'
import type { DatabaseRecovery } from './database-recovery.js'
import type { ForcedRecovery } from './forced-recovery.js'
import { introduce, type IntroductionParts } from './introduction.js'
import { returnLeaderships } from './leadership-balancer.js'
import { compactLogs, type CompactionParts } from './log-compaction.js'
import type { LogRecovery } from './log-recovery.js'
import type { MetadataMaterialiser } from './metadata-materialiser.js'
import type { PartitionCloser } from './partition-closer.js'
import { RepeatedTask } from './repeated-task.js'
import type { ReplicaMover } from './replica-mover.js'
import type { ReplicaSet } from './replica-set.js'

const EVERY_MS = 250
/** Rounds between two reports that this broker is alive. */
const ALIVE_EVERY = 8
/** Rounds between two in which leaderships are given back, and log space is freed. */
const TIDY_EVERY = 4

export interface MemberChoresParts extends IntroductionParts {
  readonly config: IntroductionParts['config'] & CompactionParts['limits']
  readonly host: RaftHost
  readonly wal: Wal
  readonly replicas: ReplicaSet
  readonly recovery: DatabaseRecovery
  readonly logRecovery: LogRecovery
  readonly forced: ForcedRecovery
  readonly metadataMaterialiser: MetadataMaterialiser
  readonly activity: ActivityGatherer
  readonly mover: ReplicaMover
  readonly balancer: ClusterBalancer
  readonly closer: PartitionCloser
  readonly clock: Clock
  readonly logger: Logger
}

/** What a broker looks after four times a second, for as long as it is part of a cluster. */
export class MemberChores {
  readonly #parts: MemberChoresParts
  readonly #task = new RepeatedTask(EVERY_MS, () => this.#try())
  #rounds = 0

  constructor(parts: MemberChoresParts) {
    this.#parts = parts
  }

  /** Others wait to hear where this broker is. */
  start(): void {
    this.#task.startNow()
  }

  stop(): Promise<void> {
    return this.#task.stop()
  }

  async #try(): Promise<void> {
    try {
      await this.#round(this.#rounds++)
    } catch (err) {
      this.#parts.logger.debug({ err }, 'a chore could not be done; it comes again')
    }
  }

  async #round(round: number): Promise<void> {
    const { forced, clock, source, metadata, mover, closer, replicas, activity, balancer } = this.#parts
    forced.observe()
    if (round % TIDY_EVERY === 0) {
      this.#giveBackLeaderships()
      this.#freeLog()
      await this.#lookAtLog()
    }
    await introduce(this.#parts, clock.now())
    if (source.ready) {
      await this.#confirmDropped()
      await mover.round(replicas.all())
      await closer.round()
    }
    if (source.ready && round % ALIVE_EVERY === 0) await source.reportAlive()
    if (round % TIDY_EVERY === 0) {
      await activity.decide(metadata)
      await balancer.round(metadata)
    }
  }

  #giveBackLeaderships(): void {
    const { replicas, source, brokerId } = this.#parts
    const { state } = source
    returnLeaderships(replicas.all(), {
      self: brokerId,
      mayLead: (id) => {
        const broker = state.broker(id)
        return broker?.state !== 'maintenance' && (broker === undefined || !isLeaving(broker))
      },
    })
  }

  #freeLog(): void {
    const { host, wal, config, replicas, metadata, metadataMaterialiser } = this.#parts
    compactLogs({
      host,
      wal,
      limits: config,
      replicas: replicas.all(),
      metadata: { group: metadata.group, snapshotIndex: metadataMaterialiser.snapshotIndex },
    })
  }

  async #lookAtLog(): Promise<void> {
    const { logRecovery, source, metadata, replicas, recovery, host } = this.#parts
    if (!logRecovery.isRunning || !source.ready || metadata.group.isRecovering) return
    if (!logRecovery.knowsNew) {
      await source.refresh()
      logRecovery.tellNew(source.state.nextGroupId)
    }
    const isWhole = replicas.openingCount === 0 && recovery.recoveries.length === 0
    if (isWhole) await logRecovery.look(host.groups())
  }

  async #confirmDropped(): Promise<void> {
    const { brokerId, clock, replicas, source } = this.#parts
    for (const groupId of replicas.unconfirmed)
      await source.propose({ kind: 'replica-dropped', at: clock.now(), groupId, brokerId })
  }
}
