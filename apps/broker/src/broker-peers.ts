import { invariant, type Random } from '@sluice/foundation'
import { RpcMethod } from '@sluice/contracts'
import type { NodeId, RaftTransport } from '@sluice/raft'
import { type RpcIdentity, RpcLink, type RpcLinkOptions } from '@sluice/rpc'
import type { Logger } from 'pino'
import type { BrokerAddress } from './broker-address.js'

/** The connections to the other brokers: one each, over which all groups talk. */
export class BrokerPeers implements RaftTransport {
  readonly #links = new Map<number, { readonly address: BrokerAddress; readonly link: RpcLink }>()
  readonly #parts: {
    readonly self: number
    readonly identity: RpcIdentity
    readonly random: Random
    readonly logger: Logger
    /** A peer does not take this broker, and says why. */
    readonly onRefused?: RpcLinkOptions['onRefused']
  }
  readonly #fenced = new Set<number>()
  #onDown: (peer: NodeId) => void = () => undefined

  constructor(parts: {
    readonly self: number
    readonly identity: RpcIdentity
    readonly random: Random
    readonly logger: Logger
    /** A peer does not take this broker, and says why. */
    readonly onRefused?: RpcLinkOptions['onRefused']
  }) {
    this.#parts = parts
  }

  /** Who is told when the connection to a peer breaks. */
  onDown(listener: (peer: NodeId) => void): void {
    this.#onDown = listener
  }

  /** Learns where the brokers are; an address that changed gets a new connection. */
  update(addresses: Iterable<BrokerAddress>): void {
    for (const address of addresses) {
      if (address.id === this.#parts.self || this.#fenced.has(address.id)) continue
      const known = this.#links.get(address.id)
      if (known?.address.host === address.host && known.address.port === address.port) continue
      if (known !== undefined) void known.link.close()
      this.#links.set(address.id, { address, link: this.#open(address) })
    }
  }

  /** Nothing is said to the broker any more, for good. */
  fence(brokerId: number): void {
    if (this.#fenced.has(brokerId)) return
    this.#fenced.add(brokerId)
    void this.#links.get(brokerId)?.link.close()
    this.#links.delete(brokerId)
  }

  send(peer: NodeId, frame: Uint8Array): boolean {
    return this.#links.get(peer)?.link.send(RpcMethod.RAFT, frame) ?? false
  }

  /** For calls between brokers that are not Raft's. */
  link(peer: number): RpcLink | undefined {
    return this.#links.get(peer)?.link
  }

  connectedCount(): number {
    let count = 0
    for (const { link } of this.#links.values()) if (link.connected) count++
    return count
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#links.values(), ({ link }) => link.close()))
    this.#links.clear()
  }

  #open(address: BrokerAddress): RpcLink {
    const { identity, random, logger, onRefused } = this.#parts
    invariant(identity.role === 'broker', 'brokers speak to each other as brokers')
    return new RpcLink({
      host: address.host,
      port: address.port,
      identity,
      random,
      expectNode: nodeName(address.id),
      ...(onRefused === undefined ? {} : { onRefused }),
      onUp: () => logger.info({ peer: address.id }, 'connected to a broker'),
      onUnsupported: (err) =>
        logger.error({ peer: address.id, err }, 'a broker is of an incompatible version'),
      onDown: (error) => {
        logger.debug({ peer: address.id, err: error }, 'connection to a broker is down')
        this.#onDown(address.id as NodeId)
      },
    })
  }
}

/** How a broker calls itself in the hello of a connection. */
export function nodeName(brokerId: number): string {
  return `broker-${brokerId}`
}

/** The broker id in a peer's hello; `undefined` for anyone else. */
export function brokerIdOf(nodeId: string): number | undefined {
  const match = /^broker-([1-9][0-9]{0,9})$/.exec(nodeId)
  return match === null ? undefined : Number(match[1])
}
