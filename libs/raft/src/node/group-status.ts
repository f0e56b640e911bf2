import { type NodeId, Role } from '../core/types.js'
import type { NodeGroup } from './node-group.js'
import type { NodeStatus, PeerStatus } from './node-status.js'
import type { NodeTransport } from './node-transport.js'

/** What only the layers around a group know. */
export interface StatusContext {
  readonly version: string
  readonly revision: string
  readonly self: { readonly id: NodeId; readonly name: string }
  readonly transport: NodeTransport
  readonly isReady: boolean
  readonly uptimeMs: number
  readonly selfCodeVersion: number
  readonly enabledCodeVersion: number
}

export function statusOf(node: NodeGroup, context: StatusContext): NodeStatus {
  const { group, desk } = node
  const { role, term, leader } = group.state
  const { self, transport } = context
  const { version, revision, isReady, uptimeMs, selfCodeVersion, enabledCodeVersion } = context
  const members = desk.members()
  const nameOf = (id: NodeId): string =>
    id === self.id ? self.name : (members.get(id)?.text ?? `observer ${id}`)
  return {
    version,
    revision,
    self: self.name,
    role,
    leader: leader === 0 ? (role === Role.LEADER ? self.name : undefined) : nameOf(leader),
    hasQuorum: hasQuorum(node, context),
    isReady,
    peers: [...members.keys()]
      .filter((id) => id !== self.id)
      .map((id) => peerOf(node, id, nameOf(id), transport)),
    logSize: group.log.lastIndex - group.log.compactedIndex,
    appliedIndex: group.applied,
    commitIndex: group.commit,
    leaderCommitIndex: group.commit,
    term,
    uptimeMs,
    selfCodeVersion,
    enabledCodeVersion,
    pendingCommands: node.pendingCount,
  }
}

/** Whether this node is connected to majorities of the voters, itself included where it is one. */
export function hasQuorum(
  node: NodeGroup,
  context: { readonly self: { readonly id: NodeId }; readonly transport: NodeTransport },
): boolean {
  const { voters, votersOutgoing } = node.group.configuration
  const isHere = (id: NodeId): boolean => id === context.self.id || context.transport.link(id) === 'connected'
  const holds = (ids: readonly NodeId[]): boolean => ids.filter(isHere).length * 2 > ids.length
  return holds(voters) && (votersOutgoing.length === 0 || holds(votersOutgoing))
}

function peerOf(node: NodeGroup, id: NodeId, address: string, transport: NodeTransport): PeerStatus {
  const { learners } = node.group.configuration
  const progress = node.group.progress(id)
  return {
    address,
    membership: node.desk.isObserver(id) ? 'observer' : learners.includes(id) ? 'learner' : 'voter',
    link: transport.link(id),
    nextIndex: progress?.next,
    matchIndex: progress?.match,
  }
}
