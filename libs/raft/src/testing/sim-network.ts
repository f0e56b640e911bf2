import { type Random, SeededRandom } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import type { NetworkFaults } from './conditions.js'

/** Frames a link remembers, to bring them again much later. */
const REMEMBERED = 16

/** One direction between two nodes. */
interface Link {
  readonly from: NodeId
  readonly to: NodeId
  readonly random: Random
  /** Faults that cut it now. */
  cuts: number
  /** Counts resets: what was on its way before one is lost. */
  epoch: number
  lastArrivalMs: number
  readonly remembered: Uint8Array[]
  sentCount: number
  /** The next frame arrives with this byte changed. */
  corruption: { readonly at: number; readonly value: number } | undefined
}

export interface SimNetworkParts {
  readonly seed: number
  readonly faults: NetworkFaults
  readonly now: () => number
  readonly later: (delayMs: number, run: () => void) => void
  readonly deliver: (from: NodeId, to: NodeId, frame: Uint8Array) => void
  /** A frame that the link's checksum would have refused. */
  readonly deliverDamaged: (from: NodeId, to: NodeId, frame: Uint8Array) => void
}

/** Links between nodes, each direction on its own and with chances of its own. */
export class SimNetwork {
  faults: NetworkFaults
  readonly #parts: SimNetworkParts
  readonly #links = new Map<number, Link>()
  /** Counts the times that everything was mended. */
  #mends = 0

  constructor(parts: SimNetworkParts) {
    this.#parts = parts
    this.faults = parts.faults
  }

  /** False when the frame is lost at once, as far as the sender can know. */
  send(from: NodeId, to: NodeId, frame: Uint8Array): boolean {
    const link = this.#link(from, to)
    const { random } = link
    this.#remember(link, frame)
    if (link.cuts > 0) return false
    if (link.corruption !== undefined) {
      this.#damage(link, frame)
      return true
    }
    if (random.next() < this.faults.lost) return true
    this.#transmit(link, frame)
    if (this.faults.doubled > 0 && random.next() < this.faults.doubled) this.#transmit(link, frame)
    return true
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#link(from, to).cuts > 0
  }

  /** Nothing gets through for so long. Faults on one link add up. */
  cut(from: NodeId, to: NodeId, durationMs: number): void {
    if (from === to) return
    const link = this.#link(from, to)
    const mends = this.#mends
    link.cuts++
    this.#parts.later(durationMs, () => {
      if (mends === this.#mends) link.cuts--
    })
  }

  mendAll(): void {
    this.#mends++
    for (const link of this.#links.values()) {
      link.cuts = 0
      link.corruption = undefined
    }
  }

  /** What is on its way is lost. */
  reset(from: NodeId, to: NodeId): void {
    this.#link(from, to).epoch++
  }

  /** The process is gone, and with it its connections. */
  processEnded(node: NodeId): void {
    if (this.faults.outlivesProcesses) return
    for (const link of this.#links.values()) if (link.from === node || link.to === node) link.epoch++
  }

  /** Brings some of the frames that this link ever carried again. */
  replay(from: NodeId, to: NodeId, count: number): void {
    const link = this.#link(from, to)
    for (let i = 0; i < count && link.remembered.length > 0; i++)
      this.#transmit(link, link.remembered[link.random.below(link.remembered.length)]!)
  }

  corruptNext(from: NodeId, to: NodeId, corruption: Link['corruption']): void {
    this.#link(from, to).corruption = corruption
  }

  /** Some old and some new ones. */
  #remember(link: Link, frame: Uint8Array): void {
    const { remembered } = link
    link.sentCount++
    if (remembered.length < REMEMBERED) remembered.push(frame)
    else remembered[link.random.below(Math.min(link.sentCount, 4 * REMEMBERED)) % REMEMBERED] = frame
  }

  #damage(link: Link, frame: Uint8Array): void {
    const { at, value } = link.corruption!
    link.corruption = undefined
    const damaged = Uint8Array.from(frame)
    // Cut short as often as changed.
    if (at % 2 === 0) damaged[(at >> 1) % damaged.length]! ^= value
    this.#parts.deliverDamaged(
      link.from,
      link.to,
      at % 2 === 0 ? damaged : damaged.subarray(0, (at >> 1) % damaged.length),
    )
  }

  #transmit(link: Link, frame: Uint8Array): void {
    const { from, to, epoch } = link
    const now = this.#parts.now()
    // Mostly fast, sometimes slow.
    let arrivalMs = now + link.random.next() ** 3 * this.faults.delayMs
    if (this.faults.ordered) {
      arrivalMs = Math.max(arrivalMs, link.lastArrivalMs)
      link.lastArrivalMs = arrivalMs
    }
    this.#parts.later(arrivalMs - now, () => {
      if (link.cuts === 0 && link.epoch === epoch) this.#parts.deliver(from, to, frame)
    })
  }

  #link(from: NodeId, to: NodeId): Link {
    const key = from * 64 + to
    let link = this.#links.get(key)
    if (link === undefined) {
      link = {
        from,
        to,
        random: new SeededRandom(this.#parts.seed * 4099 + key),
        cuts: 0,
        epoch: 0,
        lastArrivalMs: 0,
        remembered: [],
        sentCount: 0,
        corruption: undefined,
      }
      this.#links.set(key, link)
    }
    return link
  }
}
