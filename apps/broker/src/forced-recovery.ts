import {
  type ForceAnswer,
  type ForceOutcome,
  type GroupOrder,
  type GroupView,
  parseForceRequest,
  parseRecordRequest,
  type RecordRequest,
  RECOVERY_FORMAT,
  type RecoveryView,
  toBrokerError,
} from '@sluice/contracts'
import { BrokerError, METADATA_GROUP } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import type { MetadataCommand, MetadataState } from '@sluice/metadata'
import { type Configuration, type NodeId, type RaftGroup, type RaftHost, tailOf } from '@sluice/raft'
import type { Logger } from 'pino'
import type { BrokerPeers } from './broker-peers.js'
import type { MetadataReplica } from './metadata-replica.js'
import { QuietWatch } from './quiet-watch.js'
import { contextOf, moveIdOf } from './replica-mover.js'
import type { ReplicaSet } from './replica-set.js'

export interface ForcedRecoveryParts {
  readonly clusterId: string
  readonly brokerId: number
  readonly nodeUuid: string
  readonly host: RaftHost
  readonly replicas: ReplicaSet
  readonly metadata: MetadataReplica
  readonly peers: BrokerPeers
  /** By group: the newest timestamp of what the database has. */
  readonly newestTimestamps: () => Promise<ReadonlyMap<number, number>>
  /** Partitions that this broker's database has lost, by name. */
  readonly recovering: () => readonly { readonly partition: string }[]
  /** Without a leader, and without a word of those who are given up, for so long. Milliseconds. */
  readonly quietMs: number
  readonly clock: Clock
  readonly logger: Logger
}

export interface Verdict {
  readonly outcome: ForceOutcome
  readonly reason: string | null
}

/**
 * This broker's part when an operator gives a lost majority up. It never begins anything itself: it says what
 * it has, and carries an order out that still fits, for a group that has been without a leader for long and
 * could not elect one without those who are given up.
 */
export class ForcedRecovery {
  readonly #parts: ForcedRecoveryParts
  readonly #quiet: QuietWatch

  constructor(parts: ForcedRecoveryParts) {
    this.#parts = parts
    this.#quiet = new QuietWatch(parts.clock)
  }

  /** To be called every now and then. */
  observe(): void {
    const { host, metadata, peers, brokerId } = this.#parts
    const isConnected = (id: number): boolean => peers.link(id)?.connected === true
    // A leader that sleeps does not notice that it has lost its majority.
    for (const group of host.groups()) {
      if (!group.isLeader || !group.isQuiesced) continue
      const away = group.configuration.voters.filter((id) => (id as number) !== brokerId && !isConnected(id))
      if (away.length > 0 && !hasMajority(group.configuration, away)) group.wake()
    }
    this.#quiet.observe({
      groups: host.groups(),
      brokers: metadata.state.brokers().flatMap(({ id }) => ((id as number) === brokerId ? [] : [id])),
      isConnected,
    })
  }

  async view(): Promise<RecoveryView> {
    const { clusterId, brokerId, nodeUuid, metadata, quietMs } = this.#parts
    const { state } = metadata
    const newest = await this.#parts.newestTimestamps()
    return {
      format: RECOVERY_FORMAT,
      cluster_id: clusterId,
      broker_id: brokerId,
      node_uuid: nodeUuid,
      quiet_ms: quietMs,
      brokers: state.brokers().map(({ id, host, port, state: its }) => ({
        broker_id: id,
        host,
        port,
        state: its,
        silent_ms: this.#quiet.silentMs(id),
      })),
      partitions: Array.from(state.partitions(), ({ groupId, name, replicas, moveId }) => ({
        group_id: groupId,
        name,
        replicas,
        move_id: moveId,
      })),
      groups: this.#groups(newest),
      recoveries: state.recoveries().map(({ planId }) => planId),
    }
  }

  /** `POST /recovery/groups`. @throws BrokerError INVALID_REQUEST, RECOVERY_REFUSED: nothing was changed */
  force(body: unknown): ForceAnswer {
    const request = parseForceRequest(body)
    const { plan_id: planId, cluster_id: clusterId, lost } = request
    if (request.confirm !== planId)
      throw refusal(`the plan is ${planId}, and another one was confirmed`, 'confirm')
    this.#checkCluster(clusterId)
    this.#checkLost(lost)
    const groups = request.groups.map((order) => {
      const verdict = this.#forceGroup(order, planId, lost)
      this.#parts.logger.warn({ planId, order, ...verdict }, 'a forced recovery of a group')
      return { group_id: order.group_id, ...verdict }
    })
    return { groups }
  }

  /** `POST /recovery/record`. @throws BrokerError INVALID_REQUEST, NOT_LEADER, RECOVERY_REFUSED, LAST_BROKER */
  async record(body: unknown): Promise<Record<string, unknown>> {
    const request = parseRecordRequest(body)
    const { metadata, clock } = this.#parts
    this.#checkCluster(request.cluster_id)
    if (request.step.kind === 'begin') this.#checkLost(request.step.lost)
    const { result } = await metadata.propose(commandOf(request, clock.now()))
    if ('error' in result) throw toBrokerError(result.error)
    return result
  }

  #groups(newest: ReadonlyMap<number, number>): readonly GroupView[] {
    const { metadata, replicas, recovering, brokerId } = this.#parts
    const views = [this.#viewOf(metadata.group, 'metadata', { end: null, newest_at: null })]
    for (const { info, group, nextOffset } of replicas.all())
      views.push(
        this.#viewOf(group, info.name, { end: nextOffset, newest_at: newest.get(info.groupId) ?? null }),
      )
    const lost = new Set(recovering().map(({ partition }) => partition))
    for (const { groupId, name, replicas: ids } of metadata.state.partitions()) {
      if (replicas.get(groupId) !== undefined || !(ids as readonly number[]).includes(brokerId)) continue
      const isOpening = replicas.isOpening(groupId)
      if (!isOpening && !lost.has(name)) continue
      const why = isOpening ? 'it is not open yet' : 'its database has lost it'
      views.push(closedView(groupId, name, { unfit: why, unsettled: isOpening ? why : null }))
    }
    return views
  }

  #viewOf(group: RaftGroup, name: string, content: Pick<GroupView, 'end' | 'newest_at'>): GroupView {
    const { id, state, configuration, log, isRecovering, applied } = group
    // The others may have committed what is still on its way to this broker's own log.
    const commit = Math.min(group.commit, log.lastIndex)
    return {
      group_id: id,
      name,
      leader: state.leader,
      leaderless_ms: this.#quiet.leaderlessMs(id),
      unfit: isRecovering ? 'its log has lost something, and nobody could tell it what' : null,
      unsettled: applied < commit ? `it has applied ${applied} of ${commit} entries` : null,
      term: state.term,
      commit,
      last_index: log.lastIndex,
      tail: tailOf(log, commit),
      voters: configuration.voters,
      voters_outgoing: configuration.votersOutgoing,
      learners: configuration.learners,
      move_id: id === (METADATA_GROUP as number) ? 0 : moveIdOf(configuration),
      ...content,
    }
  }

  #forceGroup(order: GroupOrder, planId: string, lost: readonly number[]): Verdict {
    const { host, metadata, quietMs } = this.#parts
    const group = host.group(order.group_id as RaftGroup['id'])
    if (group === undefined) return refused('it is not open here')
    if (group.state.term >= order.term) return { outcome: 'done', reason: null }
    const leaderlessMs = this.#quiet.leaderlessMs(order.group_id)
    if (group.state.leader !== 0) return refused(`broker ${group.state.leader} leads it`)
    if (leaderlessMs < quietMs)
      return refused(`it has been without a leader for ${leaderlessMs} ms only, of ${quietMs}`)
    const { configuration } = group
    if (hasMajority(configuration, lost)) return refused('it has its majority without those who are lost')
    const isMetadata = order.group_id === (METADATA_GROUP as number)
    if (!isMetadata) {
      const obstacle = obstacleInMetadata(metadata.state, planId, order)
      if (obstacle !== undefined) return obstacle
    }
    const forced = group.forceConfiguration({
      configuration: {
        voters: order.voters as readonly NodeId[],
        votersOutgoing: [],
        learners: [],
        promotable: [],
        context: isMetadata ? configuration.context : contextOf(order.move_id),
      },
      term: order.term,
      lastIndex: order.last_index,
      lastTerm: order.last_term,
    })
    switch (forced.kind) {
      case 'forced':
        return { outcome: 'done', reason: null }
      case 'has-leader':
        return refused(`broker ${forced.leader} leads it`)
      case 'outdated':
        return refused(
          `its log ends at ${forced.lastIndex} of term ${forced.lastTerm}, in term ${forced.term}: make a new plan`,
        )
      case 'recovering':
        return refused('its log has lost something')
      case 'invalid':
        return refused(forced.reason)
    }
  }

  #checkCluster(clusterId: string): void {
    if (clusterId !== this.#parts.clusterId)
      throw refusal(`this broker belongs to cluster ${this.#parts.clusterId}, the plan to ${clusterId}`)
  }

  /** Somebody who is heard is not lost. */
  #checkLost(lost: readonly number[]): void {
    const { brokerId, quietMs, metadata } = this.#parts
    if (lost.length === 0) throw refusal('nobody is given up', 'lost')
    if (lost.includes(brokerId)) throw refusal(`broker ${brokerId} is alive: it answers this call`, 'lost')
    for (const id of lost) {
      if (metadata.state.broker(id) === undefined) continue
      const silentMs = this.#quiet.silentMs(id)
      if (silentMs < quietMs)
        throw refusal(`broker ${id} was heard ${silentMs} ms ago: it is not lost`, 'lost')
    }
  }
}

const NOT_YET: Verdict = { outcome: 'wait', reason: 'the metadata does not say so here yet' }

/**
 * Why a partition's group is not to be forced as the metadata stands: it has to name the same replicas first. A
 * move to more of them may have been ordered since; without a leader it has not begun, and the forced one goes on with it.
 */
export function obstacleInMetadata(
  state: Pick<MetadataState, 'recoveries' | 'partitionByGroup'>,
  planId: string,
  { group_id: groupId, move_id: moveId, voters }: Pick<GroupOrder, 'group_id' | 'move_id' | 'voters'>,
): Verdict | undefined {
  const recoveries = state.recoveries()
  if (!recoveries.some((recovery) => recovery.planId === planId)) return NOT_YET
  const last = recoveries.at(-1)?.planId
  if (last !== planId) return refused(`recovery ${last} has begun since: make a new plan`)
  const partition = state.partitionByGroup(groupId)
  if (partition === undefined) return refused('it was deleted meanwhile: make a new plan')
  if (partition.moveId < moveId) return NOT_YET
  const { replicas } = partition
  if (replicas.length !== voters.length || replicas.some((id) => !voters.includes(id)))
    return refused(`its replicas are ${replicas.join(', ')} by now: make a new plan`)
  return undefined
}

/** Those who are left could elect a leader by themselves. */
function hasMajority(
  { voters, votersOutgoing }: Pick<Configuration, 'voters' | 'votersOutgoing'>,
  lost: readonly number[],
): boolean {
  return [voters, votersOutgoing].every(
    (half) => half.length === 0 || half.filter((id) => !lost.includes(id)).length * 2 > half.length,
  )
}

function closedView(groupId: number, name: string, why: Pick<GroupView, 'unfit' | 'unsettled'>): GroupView {
  return {
    group_id: groupId,
    name,
    leader: 0,
    leaderless_ms: 0,
    ...why,
    term: 0,
    commit: 0,
    last_index: 0,
    tail: [],
    voters: [],
    voters_outgoing: [],
    learners: [],
    move_id: 0,
    end: null,
    newest_at: null,
  }
}

function commandOf({ plan_id: planId, step }: RecordRequest, at: number): MetadataCommand {
  switch (step.kind) {
    case 'begin': {
      const { operator, lost, skips_ids: skipsIds, summary } = step
      return { kind: 'begin-recovery', at, planId, operator, lost, skipsIds, summary }
    }
    case 'partitions':
      return {
        kind: 'recover-partitions',
        at,
        planId,
        partitions: step.partitions.map(({ group_id: groupId, move_id: moveId, replicas, loss }) => ({
          groupId,
          moveId,
          replicas,
          loss,
        })),
      }
    case 'end':
      return { kind: 'end-recovery', at, planId, summary: step.summary }
  }
}

function refused(reason: string): Verdict {
  return { outcome: 'refused', reason }
}

function refusal(message: string, field?: string): BrokerError {
  return new BrokerError('RECOVERY_REFUSED', message, { component: 'broker', field, outcome: 'no' })
}
