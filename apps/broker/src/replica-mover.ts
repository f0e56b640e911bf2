import { type MetadataCommand, type PartitionInfo, wantedReplicas } from '@sluice/metadata'
import type { Configuration, ConfigurationChange, NodeId, RaftGroup } from '@sluice/raft'
import type { Logger } from 'pino'
import type { PartitionReplica } from './partition-replica.js'

/** Words to the metadata in one round; the others come with the next. */
const REPORTS_PER_ROUND = 32

/** What a leader sees of its group. */
export interface GroupView {
  readonly configuration: Configuration
  /** No change of the configuration is on its way. */
  readonly isCommitted: boolean
  /** Members that have what was committed one round ago, this configuration included. */
  readonly caughtUp: ReadonlySet<number>
}

export type MoveStep =
  | { readonly kind: 'wait' }
  | { readonly kind: 'change'; readonly to: ConfigurationChange }
  /** The group is what the metadata wants; `isSettled` when every member knows so. */
  | { readonly kind: 'done'; readonly isSettled: boolean }

/** A configuration that was committed, and up to where the log was by then. */
interface SeenGroup {
  readonly configuration: Configuration
  readonly commit: number
}

const WAIT: MoveStep = { kind: 'wait' }

/**
 * The next step from the members that a group has to those that it is to have. New ones learn first and
 * vote when they have caught up, all of them at once with those who leave (a joint configuration), so that
 * the group is at no time smaller or more fragile than before.
 *
 * Every configuration carries the number of the move it belongs to: a leader whose metadata is older than
 * the group's own log does nothing, so that a move that was called off is not begun again.
 */
export function nextMoveStep(group: GroupView, partition: PartitionInfo): MoveStep {
  const { configuration, isCommitted, caughtUp } = group
  const moveId = moveIdOf(configuration)
  if (!isCommitted || configuration.votersOutgoing.length > 0 || moveId > partition.moveId) return WAIT
  const wanted = wantedReplicas(partition) as readonly number[] as readonly NodeId[]
  const { voters, learners } = configuration
  const missing = wanted.filter((id) => !voters.includes(id))
  const context = contextOf(partition.moveId)
  if (missing.length === 0 && voters.length === wanted.length && learners.length === 0) {
    if (moveId === partition.moveId)
      return { kind: 'done', isSettled: wanted.every((id) => caughtUp.has(id)) }
    return { kind: 'change', to: { voters: wanted, context } }
  }
  if (missing.some((id) => !learners.includes(id)) || learners.some((id) => !missing.includes(id)))
    return { kind: 'change', to: { voters, learners: missing, context } }
  if (missing.some((id) => !caughtUp.has(id))) return WAIT
  return { kind: 'change', to: { voters: wanted, context } }
}

/** Brings the groups that this broker leads to the members that the metadata wants, a step at a time. */
export class ReplicaMover {
  readonly #propose: (command: MetadataCommand) => Promise<void>
  readonly #now: () => number
  readonly #logger: Logger
  /** What the last round saw of groups that are on their way. */
  #seen = new Map<number, SeenGroup>()

  constructor(parts: {
    readonly propose: (command: MetadataCommand) => Promise<void>
    readonly now: () => number
    readonly logger: Logger
  }) {
    this.#propose = parts.propose
    this.#now = parts.now
    this.#logger = parts.logger
  }

  /** Called every now and then. */
  async round(replicas: Iterable<PartitionReplica>): Promise<void> {
    const seen = new Map<number, SeenGroup>()
    const reports: MetadataCommand[] = []
    for (const { info, group } of replicas) {
      if (info.moveId === 0 || !group.isLeader || !isUnderWay(info, group)) continue
      const { configuration, commit, isConfigurationCommitted } = group
      const before = this.#seen.get(info.groupId)
      if (isConfigurationCommitted) seen.set(info.groupId, { configuration, commit })
      const step = nextMoveStep(viewOf(group, before), info)
      if (step.kind === 'change') this.#change(info, group, step.to)
      if (step.kind === 'done') reports.push(...this.#reportsOf(info, step.isSettled))
    }
    this.#seen = seen
    for (const report of reports.slice(0, REPORTS_PER_ROUND)) await this.#propose(report)
  }

  #change({ name, moveId }: PartitionInfo, group: RaftGroup, to: ConfigurationChange): void {
    const { kind } = group.changeConfiguration(to)
    this.#logger.info(
      { partition: name, moveId, voters: to.voters, learners: to.learners, outcome: kind },
      'a step of a move of replicas',
    )
  }

  #reportsOf({ groupId, moveId, move }: PartitionInfo, isSettled: boolean): readonly MetadataCommand[] {
    const at = this.#now()
    if (move !== undefined) return [{ kind: 'move-done', at, groupId, moveId }]
    return isSettled ? [{ kind: 'move-settled', at, groupId, moveId }] : []
  }
}

function isUnderWay({ move, moveId, departed, departing }: PartitionInfo, group: RaftGroup): boolean {
  return (
    move !== undefined ||
    moveIdOf(group.configuration) !== moveId ||
    (departed.length > 0 && departing.length === 0)
  )
}

function viewOf(group: RaftGroup, before: SeenGroup | undefined): GroupView {
  const { configuration } = group
  const caughtUp = new Set<number>()
  if (before?.configuration === configuration)
    for (const id of [...configuration.voters, ...configuration.learners]) {
      const progress = group.progress(id)
      // The leader itself has no progress.
      if (progress === undefined || progress.match >= before.commit) caughtUp.add(id)
    }
  return { configuration, isCommitted: group.isConfigurationCommitted, caughtUp }
}

/** What a configuration of a partition's group carries. */
export function contextOf(moveId: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, moveId, true)
  return bytes
}

export function moveIdOf({ context }: Configuration): number {
  return context.length === 0 ? 0 : new DataView(context.buffer, context.byteOffset).getUint32(0, true)
}
