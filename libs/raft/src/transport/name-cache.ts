import dns from 'node:dns/promises'
import { isIP } from 'node:net'
import { type Clock, messageOf } from '@sluice/foundation'
import { TransportError } from './transport-error.js'

/** Which addresses of a name are used; those of the other family only where there are no others. */
export type AddressFamily = 'ipv4' | 'ipv6' | 'any'

export interface ResolvedAddress {
  readonly address: string
  /** 4 or 6. */
  readonly family: number
}

/** All addresses of a name; rejects when it has none. */
export type LookupFunction = (host: string) => Promise<readonly ResolvedAddress[]>

interface Answer {
  /** Empty while the name was never resolved. */
  readonly addresses: readonly ResolvedAddress[]
  readonly error: TransportError | undefined
  readonly expiresAt: number
}

const NAMES_MAX = 1024

export const systemLookup: LookupFunction = (host) => dns.lookup(host, { all: true, verbatim: true })

/**
 * Addresses of names, believed for a while. A name that stops resolving keeps the addresses it had: a
 * name server that is away must not part nodes that are there.
 */
export class NameCache {
  readonly #lookup: LookupFunction
  readonly #family: AddressFamily
  readonly #cacheTimeMs: number
  readonly #failCacheTimeMs: number
  readonly #clock: Clock
  readonly #answers = new Map<string, Answer>()
  readonly #underWay = new Map<string, Promise<Answer>>()

  constructor(parts: {
    readonly lookup: LookupFunction
    readonly family: AddressFamily
    readonly cacheTimeMs: number
    readonly failCacheTimeMs: number
    readonly clock: Clock
  }) {
    this.#lookup = parts.lookup
    this.#family = parts.family
    this.#cacheTimeMs = parts.cacheTimeMs
    this.#failCacheTimeMs = parts.failCacheTimeMs
    this.#clock = parts.clock
  }

  /**
   * The addresses to try, at least one. An IP address is its own answer.
   * @throws TransportError CONNECT_FAILED
   */
  async resolve(host: string): Promise<readonly ResolvedAddress[]> {
    const family = isIP(host)
    if (family !== 0) return [{ address: host, family }]
    let answer = this.#answers.get(host)
    if (answer === undefined || answer.expiresAt <= this.#clock.monotonic()) answer = await this.#ask(host)
    if (answer.addresses.length === 0) throw answer.error!
    return answer.addresses
  }

  /** Nobody answers at what the name resolved to: ask again soon, it may have moved. */
  doubt(host: string): void {
    const answer = this.#answers.get(host)
    if (answer === undefined) return
    const soon = this.#clock.monotonic() + Math.min(this.#failCacheTimeMs, this.#cacheTimeMs)
    if (answer.expiresAt > soon) this.#answers.set(host, { ...answer, expiresAt: soon })
  }

  #ask(host: string): Promise<Answer> {
    const asked = this.#underWay.get(host)
    if (asked !== undefined) return asked
    const asking = this.#answerOf(host).then((answer) => {
      this.#underWay.delete(host)
      this.#keep(host, answer)
      return answer
    })
    this.#underWay.set(host, asking)
    return asking
  }

  async #answerOf(host: string): Promise<Answer> {
    try {
      const found = await this.#lookup(host)
      if (found.length === 0) throw new Error('the name has no address')
      const addresses = preferred(found, this.#family)
      return { addresses, error: undefined, expiresAt: this.#clock.monotonic() + this.#cacheTimeMs }
    } catch (cause) {
      const error = new TransportError(
        'CONNECT_FAILED',
        `the name ${host} cannot be resolved: ${messageOf(cause)}`,
        { cause },
      )
      return {
        addresses: this.#answers.get(host)?.addresses ?? [],
        error,
        expiresAt: this.#clock.monotonic() + this.#failCacheTimeMs,
      }
    }
  }

  #keep(host: string, answer: Answer): void {
    this.#answers.delete(host)
    const [oldest] = this.#answers.keys()
    if (this.#answers.size >= NAMES_MAX && oldest !== undefined) this.#answers.delete(oldest)
    this.#answers.set(host, answer)
  }
}

function preferred(found: readonly ResolvedAddress[], family: AddressFamily): readonly ResolvedAddress[] {
  if (family === 'any') return found
  const chosen = found.filter((address) => address.family === (family === 'ipv4' ? 4 : 6))
  return chosen.length > 0 ? chosen : found
}
