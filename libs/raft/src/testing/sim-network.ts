import type { Random } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import type { Envelope } from './core-driver.js'

export interface NetworkFaults {
  readonly delayMs: number
  /** Parts of all messages, from 0 to 1. */
  readonly lost: number
  readonly doubled: number
  /** Messages of one link arrive in the order they were sent. */
  readonly ordered: boolean
}

export const NO_NETWORK_FAULTS: NetworkFaults = { delayMs: 2, lost: 0, doubled: 0, ordered: true }

/** Links between nodes, each direction on its own. */
export class SimNetwork {
  faults: NetworkFaults
  readonly #random: Random
  readonly #later: (delayMs: number, run: () => void) => void
  readonly #now: () => number
  readonly #deliver: (envelope: Envelope) => void
  readonly #cut = new Set<number>()
  /** When the last message of a link arrives. */
  readonly #lastArrivalMs = new Map<number, number>()

  constructor(parts: {
    readonly random: Random
    readonly faults: NetworkFaults
    readonly now: () => number
    readonly later: (delayMs: number, run: () => void) => void
    readonly deliver: (envelope: Envelope) => void
  }) {
    this.#random = parts.random
    this.faults = parts.faults
    this.#now = parts.now
    this.#later = parts.later
    this.#deliver = parts.deliver
  }

  send(envelope: Envelope): void {
    const { from, to } = envelope.message
    if (this.isCut(from, to) || this.#random.next() < this.faults.lost) return
    this.#transmit(envelope)
    if (this.#random.next() < this.faults.doubled) this.#transmit(envelope)
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#cut.has(link(from, to))
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(link(from, to))
  }

  heal(): void {
    this.#cut.clear()
  }

  #transmit(envelope: Envelope): void {
    const { from, to } = envelope.message
    // Mostly fast, sometimes slow.
    let delayMs = this.#random.next() ** 3 * this.faults.delayMs
    if (this.faults.ordered) {
      const arrivalMs = Math.max(this.#now() + delayMs, this.#lastArrivalMs.get(link(from, to)) ?? 0)
      this.#lastArrivalMs.set(link(from, to), arrivalMs)
      delayMs = arrivalMs - this.#now()
    }
    this.#later(delayMs, () => {
      if (!this.isCut(from, to)) this.#deliver(envelope)
    })
  }
}

function link(from: NodeId, to: NodeId): number {
  return from * 1000 + to
}
