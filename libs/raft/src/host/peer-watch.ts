import type { NodeId } from '../core/types.js'

interface PeerState {
  silentTicks: number
  isDown: boolean
}

/** Which peers of a process are there, from the frames that come and the ticks that pass without any. */
export class PeerWatch {
  readonly #peers = new Map<NodeId, PeerState>()
  readonly #silentTicksMax: number
  readonly #onDown: (peer: NodeId) => void
  readonly #onUp: (peer: NodeId) => void

  constructor(parts: {
    readonly silentTicksMax: number
    readonly onDown: (peer: NodeId) => void
    readonly onUp: (peer: NodeId) => void
  }) {
    this.#silentTicksMax = parts.silentTicksMax
    this.#onDown = parts.onDown
    this.#onUp = parts.onUp
  }

  /** Those who share a group with this node. */
  peers(): IterableIterator<NodeId> {
    return this.#peers.keys()
  }

  add(peers: Iterable<NodeId>): void {
    for (const peer of peers)
      if (!this.#peers.has(peer)) this.#peers.set(peer, { silentTicks: 0, isDown: false })
  }

  /** Only these are watched from now on. */
  retain(peers: ReadonlySet<NodeId>): void {
    for (const peer of this.#peers.keys()) if (!peers.has(peer)) this.#peers.delete(peer)
  }

  /** False for one that shares no group with this node, as far as it knows. */
  heard(from: NodeId): boolean {
    const peer = this.#peers.get(from)
    if (peer === undefined) return false
    peer.silentTicks = 0
    if (!peer.isDown) return true
    peer.isDown = false
    this.#onUp(from)
    return true
  }

  /** The link to it broke, or it is silent. */
  lost(id: NodeId): void {
    const peer = this.#peers.get(id)
    if (peer === undefined || peer.isDown) return
    peer.isDown = true
    this.#onDown(id)
  }

  tick(): void {
    for (const [id, peer] of this.#peers) if (++peer.silentTicks >= this.#silentTicksMax) this.lost(id)
  }
}
