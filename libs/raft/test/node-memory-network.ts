import type { NodeId } from '../src/core/types.js'
import type { NodeAddress } from '../src/node/node-address.js'
import type {
  NodeTransport,
  NodeTransportHandlers,
  NodeTransportParts,
  OpenNodeTransport,
} from '../src/node/node-transport.js'
import { TransportError } from '../src/transport/transport-error.js'

/** Nodes of one process that reach each other without sockets, unless they are cut off. */
export class MemoryNetwork {
  readonly #nodes = new Map<NodeId, MemoryTransport>()
  readonly #cut = new Set<NodeId>()
  /** Answers to requests are lost as long as this is set; the requests arrive. */
  losesAnswers = false

  readonly open: OpenNodeTransport = (parts) => new MemoryTransport(this, parts)

  cut(id: NodeId): void {
    this.#cut.add(id)
    for (const node of this.#nodes.values()) {
      if (node.id === id) continue
      node.handlers.peerDown(id)
      this.#nodes.get(id)?.handlers.peerDown(node.id)
    }
  }

  heal(): void {
    this.#cut.clear()
  }

  add(transport: MemoryTransport): void {
    this.#nodes.set(transport.id, transport)
  }

  remove(transport: MemoryTransport): void {
    if (this.#nodes.get(transport.id) !== transport) return
    this.#nodes.delete(transport.id)
    for (const node of this.#nodes.values()) node.handlers.peerDown(transport.id)
  }

  /** The other end, when both want each other and nothing is between them. */
  reach(from: MemoryTransport, to: NodeId): MemoryTransport | undefined {
    const other = this.#nodes.get(to)
    if (other === undefined || this.#nodes.get(from.id) !== from) return undefined
    if (this.#cut.has(to) || this.#cut.has(from.id)) return undefined
    return from.accepts(other) && other.accepts(from) ? other : undefined
  }
}

class MemoryTransport implements NodeTransport {
  readonly id: NodeId
  readonly handlers: NodeTransportHandlers
  readonly #network: MemoryNetwork
  readonly #isObserver: boolean
  #peers: ReadonlyMap<NodeId, NodeAddress | undefined> = new Map()

  constructor(network: MemoryNetwork, { names, handlers }: NodeTransportParts) {
    this.#network = network
    this.id = names.id
    this.#isObserver = names.address === undefined
    this.handlers = handlers
  }

  start(): Promise<void> {
    this.#network.add(this)
    return Promise.resolve()
  }

  setPeers(peers: ReadonlyMap<NodeId, NodeAddress | undefined>): void {
    this.#peers = peers
  }

  accepts(other: MemoryTransport): boolean {
    return other.#isObserver || this.#peers.has(other.id)
  }

  send(peer: NodeId, frame: Uint8Array): boolean {
    if (this.#network.reach(this, peer) === undefined) return false
    setImmediate(() => this.#network.reach(this, peer)?.handlers.frame(this.id, frame))
    return true
  }

  async request(peer: NodeId, payload: Uint8Array): Promise<Uint8Array> {
    const other = this.#network.reach(this, peer)
    if (other === undefined) throw new TransportError('NOT_CONNECTED', 'no link')
    await new Promise((resolve) => setImmediate(resolve))
    const answer = await other.handlers.request(this.id, payload)
    if (this.#network.losesAnswers || this.#network.reach(this, peer) === undefined)
      throw new TransportError('CONNECTION_LOST', 'the link broke', { outcome: 'unknown' })
    return answer
  }

  link(peer: NodeId): 'connected' | 'disconnected' {
    return this.#network.reach(this, peer) === undefined ? 'disconnected' : 'connected'
  }

  close(): Promise<void> {
    this.#network.remove(this)
    return Promise.resolve()
  }
}
