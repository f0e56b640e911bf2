import { Role } from '../core/types.js'
import type { AdminValue } from './admin-protocol.js'

export type PeerLink = 'connected' | 'connecting' | 'disconnected'

export interface PeerStatus {
  /** `host:port`, or the name of an observer. */
  readonly address: string
  readonly membership: 'voter' | 'learner' | 'observer'
  readonly link: PeerLink
  /** Known to the leader only. */
  readonly nextIndex: number | undefined
  readonly matchIndex: number | undefined
}

/** What a node knows of itself and its group; PySyncObj's getStatus. */
export interface NodeStatus {
  readonly version: string
  /** What this build was made of, or empty. */
  readonly revision: string
  readonly self: string
  readonly role: Role
  /** Address of the leader, when one is known. */
  readonly leader: string | undefined
  /** A leader that a majority of voters answers, or a node that hears such a leader. */
  readonly hasQuorum: boolean
  readonly isReady: boolean
  readonly peers: readonly PeerStatus[]
  /** Entries in the log that are not compacted. */
  readonly logSize: number
  readonly appliedIndex: number
  readonly commitIndex: number
  /** The highest commit index that a leader told this node. */
  readonly leaderCommitIndex: number
  readonly term: number
  readonly uptimeMs: number
  /** The highest code version that this node can run, and the one that the group runs. */
  readonly selfCodeVersion: number
  readonly enabledCodeVersion: number
  /** Commands of this node that are not settled. */
  readonly pendingCommands: number
}

const ROLE_NAMES = {
  [Role.FOLLOWER]: 'FOLLOWER',
  [Role.PRE_CANDIDATE]: 'PRE_CANDIDATE',
  [Role.CANDIDATE]: 'CANDIDATE',
  [Role.LEADER]: 'LEADER',
  [Role.LEARNER]: 'LEARNER',
} as const satisfies Record<Role, string>

export type RoleName = (typeof ROLE_NAMES)[Role]

/** A role as PySyncObj spells it. */
export function roleName(role: Role): RoleName {
  return ROLE_NAMES[role]
}

const LINK_NUMBERS = { disconnected: 0, connecting: 1, connected: 2 } as const satisfies Record<
  PeerLink,
  number
>

/**
 * The status under PySyncObj's keys, flat, as its admin command prints it. Times are seconds there; a
 * link is 0 disconnected, 1 connecting, 2 connected.
 */
export function statusValues(status: NodeStatus): Record<string, AdminValue> {
  const partners = status.peers.filter((peer) => peer.membership !== 'observer')
  const observers = status.peers.filter((peer) => peer.membership === 'observer')
  const values: Record<string, AdminValue> = {
    version: status.version,
    revision: status.revision,
    self: status.self,
    state: roleName(status.role),
    leader: status.leader ?? null,
    has_quorum: status.hasQuorum,
    is_ready: status.isReady,
    partner_nodes_count: partners.length,
    readonly_nodes_count: observers.length,
    log_len: status.logSize,
    last_applied: status.appliedIndex,
    commit_idx: status.commitIndex,
    leader_commit_idx: status.leaderCommitIndex,
    raft_term: status.term,
    uptime: Math.floor(status.uptimeMs / 1000),
    self_code_version: status.selfCodeVersion,
    enabled_code_version: status.enabledCodeVersion,
    pending_commands: status.pendingCommands,
  }
  for (const peer of partners) values[`partner_node_status_server_${peer.address}`] = LINK_NUMBERS[peer.link]
  for (const peer of observers)
    values[`readonly_node_status_server_${peer.address}`] = LINK_NUMBERS[peer.link]
  let tracked = 0
  for (const { address, nextIndex, matchIndex } of status.peers) {
    if (nextIndex === undefined || matchIndex === undefined) continue
    tracked += 1
    values[`next_node_idx_server_${address}`] = nextIndex
    values[`match_idx_server_${address}`] = matchIndex
  }
  values['next_node_idx_count'] = tracked
  values['match_idx_count'] = tracked
  return values
}
