import type { NodeId, RaftGroupId } from '../core/types.js'
import type { SnapshotSource } from '../host/state-machine.js'
import type { SnapshotSender } from './snapshot-sender.js'

/** A snapshot on its way to a peer. */
export interface Outgoing {
  readonly peer: NodeId
  readonly sender: SnapshotSender
  readonly source: SnapshotSource
}

/** At most one for a peer and group; given out in an order that begins elsewhere each time. */
export class OutgoingTransfers {
  readonly #byGroup = new Map<RaftGroupId, Map<NodeId, Outgoing>>()
  #count = 0
  #turn = 0

  get count(): number {
    return this.#count
  }

  get(group: RaftGroupId, peer: NodeId): Outgoing | undefined {
    return this.#byGroup.get(group)?.get(peer)
  }

  of(group: RaftGroupId): readonly Outgoing[] {
    return [...(this.#byGroup.get(group)?.values() ?? [])]
  }

  /** In a fair order: whoever was first now is last next time, and gets what the others leave. */
  all(): readonly Outgoing[] {
    const all = [...this.#byGroup.values()].flatMap((peers) => [...peers.values()])
    const start = all.length === 0 ? 0 : this.#turn++ % all.length
    return [...all.slice(start), ...all.slice(0, start)]
  }

  add(outgoing: Outgoing): void {
    const { group } = outgoing.sender
    const peers = this.#byGroup.get(group) ?? new Map<NodeId, Outgoing>()
    this.#byGroup.set(group, peers)
    peers.set(outgoing.peer, outgoing)
    this.#count++
  }

  remove(outgoing: Outgoing): void {
    const { group } = outgoing.sender
    const peers = this.#byGroup.get(group)
    if (peers?.get(outgoing.peer) !== outgoing) return
    peers.delete(outgoing.peer)
    this.#count--
    if (peers.size === 0) this.#byGroup.delete(group)
  }
}
