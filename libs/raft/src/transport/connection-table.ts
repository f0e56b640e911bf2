import type { NodeId } from '../core/types.js'
import type { Connection } from './connection.js'
import type { PeerHello } from './hello.js'
import type { Peer } from './peer.js'
import type { Refusal } from './refusal.js'

/** Who is known, and who is connected: peers, and guests, which are observers and administrators. */
export class ConnectionTable {
  readonly #guestsMax: number
  readonly #peers = new Map<NodeId, Peer>()
  readonly #observers = new Map<NodeId, Connection>()
  readonly #admins = new Set<Connection>()

  constructor(guestsMax: number) {
    this.#guestsMax = guestsMax
  }

  get peerCount(): number {
    return this.#peers.size
  }

  peer(id: NodeId): Peer | undefined {
    return this.#peers.get(id)
  }

  peers(): readonly Peer[] {
    return [...this.#peers.values()]
  }

  addPeer(peer: Peer): void {
    this.#peers.set(peer.settings.id, peer)
  }

  removePeer(id: NodeId): void {
    this.#peers.delete(id)
  }

  /** Of a peer or an observer. */
  connection(id: NodeId): Connection | undefined {
    return this.#peers.get(id)?.connection ?? this.#observers.get(id)
  }

  connections(): readonly Connection[] {
    const ofPeers = this.peers().flatMap(({ connection }) => connection ?? [])
    return [...ofPeers, ...this.#observers.values(), ...this.#admins]
  }

  /** True as long as the connection is the one through which its peer is reached. */
  isCurrent(connection: Connection): boolean {
    if (connection.peer.role === 'admin') return this.#admins.has(connection)
    return this.connection(connection.peer.id) === connection
  }

  addGuest(connection: Connection): void {
    if (connection.peer.role === 'admin') this.#admins.add(connection)
    else this.#observers.set(connection.peer.id, connection)
  }

  removeGuest(connection: Connection): void {
    this.#admins.delete(connection)
    if (this.#observers.get(connection.peer.id) === connection) this.#observers.delete(connection.peer.id)
  }

  /** Why there is no place for this one, if there is none. Asked again when its handshake is over. */
  conflict(hello: PeerHello): Refusal | undefined {
    const { id, role, uuid } = hello
    const peer = this.#peers.get(id)
    if (role === 'node') {
      if (peer === undefined)
        return { code: 'UNKNOWN_NODE', message: `node ${id} is no peer of the node that it called` }
      const known = peer.settings.uuid
      if (known !== undefined && Buffer.compare(known, uuid) !== 0)
        return {
          code: 'NODE_REPLACED',
          message: `node ${id} has another uuid than the one that is known: its data was replaced`,
        }
    } else {
      if (role === 'observer' && peer !== undefined)
        return { code: 'DUPLICATE', message: `the id ${id} is that of a node` }
      const isFull = this.#observers.size + this.#admins.size >= this.#guestsMax
      if (isFull && !this.#observers.has(id))
        return { code: 'TOO_MANY_CONNECTIONS', message: `${this.#guestsMax} guests are connected` }
    }
    return role === 'admin' ? undefined : duplicate(hello, this.connection(id)?.peer)
  }
}

/**
 * A dialler has one connection at a time: a second one from the same process, or from a later start of
 * the same node, means that the first is dead, even where this side has not noticed yet. An earlier
 * start, or another disk, is a copy of the node and must not take its place.
 */
function duplicate(hello: PeerHello, connected: PeerHello | undefined): Refusal | undefined {
  if (connected === undefined) return undefined
  if (Buffer.compare(connected.uuid, hello.uuid) === 0 && connected.bootEpoch <= hello.bootEpoch)
    return undefined
  return {
    code: 'DUPLICATE',
    message: `${hello.role} ${hello.id} is connected from a process that was started later, or has another uuid`,
  }
}
