import { invariant, type Random } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import type { SnapshotCarrier, SnapshotSource, SnapshotTransfer } from '../host/state-machine.js'

interface Journey {
  readonly transfer: SnapshotTransfer
  readonly source: SnapshotSource
  hopsLeft: number
}

export interface SimCarrierParts {
  readonly random: Random
  /** Runs in this process, later, unless it is gone by then. */
  readonly later: (delayMs: number, run: () => void) => void
  /** Milliseconds that a snapshot takes, at most. */
  readonly durationMs: number
  readonly lostPart: () => number
  readonly isCut: (to: NodeId) => boolean
  /** All of it is there. */
  readonly arrive: (transfer: SnapshotTransfer, source: SnapshotSource, bytes: Uint8Array) => void
  /** Arrived or not: the core is told when it waits in vain. */
  readonly ended: (transfer: SnapshotTransfer) => void
  readonly promisesMoved: () => void
}

const HOPS_MAX = 4

/** Snapshots on their way between nodes: they take time, a cut link ends them, and so does chance. */
export class SimCarrier implements SnapshotCarrier {
  readonly #parts: SimCarrierParts
  #journeys: Journey[] = []

  constructor(parts: SimCarrierParts) {
    this.#parts = parts
  }

  offer(transfer: SnapshotTransfer, source: SnapshotSource): void {
    const earlier = this.#journeys.find(
      ({ transfer: { group, peer } }) => group === transfer.group && peer === transfer.peer,
    )
    if (earlier !== undefined) this.#drop(earlier)
    const journey = { transfer, source, hopsLeft: 1 + this.#parts.random.below(HOPS_MAX) }
    this.#journeys.push(journey)
    this.#hop(journey)
  }

  receive(): void {
    invariant(false, 'no frame of a simulated carrier is on a link')
  }

  tick(): void {
    // Time passes for it as for everything.
  }

  peerDown(peer: NodeId): void {
    for (const journey of this.#journeys.filter(({ transfer }) => transfer.peer === peer)) this.#end(journey)
  }

  cancel(group: number): void {
    for (const journey of this.#journeys.filter(({ transfer }) => transfer.group === group))
      this.#drop(journey)
  }

  close(): Promise<void> {
    for (const journey of this.#journeys) this.#drop(journey)
    return Promise.resolve()
  }

  #hop(journey: Journey): void {
    const { random, later, durationMs, isCut, lostPart } = this.#parts
    later((random.next() * durationMs) / HOPS_MAX, () => {
      if (!this.#journeys.includes(journey)) return
      if (isCut(journey.transfer.peer) || random.next() < lostPart() / HOPS_MAX) this.#end(journey)
      else if (--journey.hopsLeft > 0) this.#hop(journey)
      else this.#arrive(journey)
    })
  }

  #arrive(journey: Journey): void {
    const { arrive, promisesMoved } = this.#parts
    const { transfer, source } = journey
    promisesMoved()
    void source.read(0, source.sizeBytes).then((bytes) => {
      arrive(transfer, source, bytes)
    })
    this.#end(journey)
  }

  #end(journey: Journey): void {
    this.#drop(journey)
    this.#parts.ended(journey.transfer)
  }

  #drop(journey: Journey): void {
    this.#journeys = this.#journeys.filter((other) => other !== journey)
    this.#parts.promisesMoved()
    void journey.source.close()
  }
}
