import type { Random } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import type { RaftTransport } from '../host/outbox.js'
import type { KnownPeers } from './known-peers.js'
import type { NodeAddress } from './node-address.js'
import type { NodeEvent } from './node-event.js'
import type { NodeIdentity } from './node-identity.js'
import type { NodeNames } from './node-names.js'
import type { PeerLink } from './node-status.js'
import type { SyncObjectConfig } from './sync-object-config.js'

/** What a node needs of its transport; `tcp-node-transport.ts` is the one over TCP. */
export interface NodeTransport extends RaftTransport {
  /**
   * Listens, if the node has an address, and starts to connect.
   * @throws BindError
   */
  start(signal: AbortSignal): Promise<void>
  /** Whom to connect to and whom to let in; links to others are cut. Observers have no address. */
  setPeers(peers: ReadonlyMap<NodeId, NodeAddress | undefined>): void
  /**
   * Asks a peer and gives its answer. Rejects when the link is down, breaks, or no answer comes in time;
   * the peer may have taken the request all the same.
   */
  request(peer: NodeId, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array>
  link(peer: NodeId): PeerLink
  close(): Promise<void>
}

/** What a transport tells its node. */
export interface NodeTransportHandlers {
  frame(from: NodeId, frame: Uint8Array): void
  peerUp(peer: NodeId): void
  peerDown(peer: NodeId): void
  /** Answers a peer's request. Rejecting ends the connection. */
  request(from: NodeId, payload: Uint8Array): Promise<Uint8Array>
  /** Answers an operator's request. */
  admin(payload: Uint8Array): Promise<Uint8Array>
}

/** What a transport is made from. */
export interface NodeTransportParts {
  readonly config: SyncObjectConfig
  readonly names: NodeNames
  readonly identity: NodeIdentity
  /** A node that shows another uuid than the one remembered must not be let in. */
  readonly peers: KnownPeers
  readonly random: Random
  readonly handlers: NodeTransportHandlers
  readonly onEvent: (event: NodeEvent) => void
}

export type OpenNodeTransport = (parts: NodeTransportParts) => NodeTransport
