import { BrokerError } from '@sluice/domain'
import type { Random } from '@sluice/foundation'
import { type RpcIdentity, RpcLink, type RpcLimits } from '@sluice/rpc'
import type { Logger } from 'pino'
import { addressText, type BrokerAddress } from './broker-address.js'

/** One connection per broker, shared by everything in the process that calls brokers. */
export class BrokerLinks {
  readonly #links = new Map<string, RpcLink>()
  readonly #identity: RpcIdentity
  readonly #random: Random
  readonly #limits: Partial<RpcLimits> | undefined
  readonly #logger: Logger
  #closed = false

  constructor(parts: {
    readonly identity: RpcIdentity
    readonly random: Random
    readonly logger: Logger
    readonly limits?: Partial<RpcLimits>
  }) {
    this.#identity = parts.identity
    this.#random = parts.random
    this.#limits = parts.limits
    this.#logger = parts.logger
  }

  get closed(): boolean {
    return this.#closed
  }

  /**
   * The connection to `address`, opened when it is asked for the first time.
   * @throws BrokerError SHUTTING_DOWN
   */
  to(address: BrokerAddress): RpcLink {
    if (this.#closed) throw new BrokerError('SHUTTING_DOWN', 'this process is stopping')
    const key = addressText(address)
    const known = this.#links.get(key)
    if (known !== undefined) return known
    const link = new RpcLink({
      host: address.host,
      port: address.port,
      identity: this.#identity,
      random: this.#random,
      onUp: () => this.#logger.info({ broker: key }, 'connected to a broker'),
      onUnsupported: (err) =>
        this.#logger.error({ broker: key, err }, 'a broker is of an incompatible version'),
      onDown: (error) => this.#logger.debug({ broker: key, err: error }, 'connection to a broker is down'),
      ...(this.#limits === undefined ? {} : { limits: this.#limits }),
    })
    this.#links.set(key, link)
    return link
  }

  /** Closes the connections to addresses where no broker is any more, so that their number is bounded. */
  async keepOnly(addresses: Iterable<BrokerAddress>): Promise<void> {
    const kept = new Set(Array.from(addresses, addressText))
    const closing: Promise<void>[] = []
    for (const [key, link] of this.#links) {
      if (kept.has(key)) continue
      this.#links.delete(key)
      closing.push(link.close())
    }
    await Promise.all(closing)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.keepOnly([])
  }
}
