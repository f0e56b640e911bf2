import type { Random } from '@sluice/foundation'
import type { HardState, LogIndex, RaftOutput } from '../core/types.js'
import { MemoryLog } from '../storage/memory-log.js'

interface Write {
  readonly output: Pick<RaftOutput, 'hardState' | 'truncateFrom' | 'entries'>
  readonly done: () => void
}

export interface SyncTimes {
  /** Milliseconds a sync takes, at most, unless it is a slow one. */
  readonly syncMs: number
  /** The part of syncs that take up to fifty times as long. */
  readonly slowPart: number
}

/**
 * A disk that writes at once and syncs later, one sync at a time for all writes that came before it.
 * A crash keeps some prefix of the writes that were not synced, each of them whole or not at all.
 */
export class SimDisk {
  /** What the node reads: everything written. */
  current = new MemoryLog()
  hardState: HardState = { term: 0, vote: 0, commit: 0 }
  /** What a crash leaves at least. */
  readonly durable = new MemoryLog()
  durableHardState: HardState = { term: 0, vote: 0, commit: 0 }
  #written: Write[] = []
  #syncing = 0
  #epoch = 0
  readonly #random: Random
  readonly #times: SyncTimes
  readonly #later: (delayMs: number, run: () => void) => void

  constructor(parts: {
    readonly random: Random
    readonly times: SyncTimes
    readonly later: (delayMs: number, run: () => void) => void
  }) {
    this.#random = parts.random
    this.#times = parts.times
    this.#later = parts.later
  }

  /** Visible to the node now; `done` once it is durable. */
  write(output: Write['output'], done: () => void): void {
    this.current.write(output)
    this.hardState = output.hardState ?? this.hardState
    this.#written.push({ output, done })
    this.#sync()
  }

  /** Loses what was not synced, but for a random prefix of it. */
  crash(): void {
    this.#epoch++
    this.#syncing = 0
    const kept = this.#random.below(this.#written.length + 1)
    for (const write of this.#written.splice(0, kept)) this.#promote(write)
    this.#written = []
    this.current = this.durable.clone()
    this.hardState = this.durableHardState
  }

  /** Drops the log up to `index`, durably. What is compacted is durable already. */
  compact(index: LogIndex): void {
    this.current.compact(index)
    this.durable.compact(index)
  }

  #sync(): void {
    if (this.#syncing > 0 || this.#written.length === 0) return
    this.#syncing = this.#written.length
    const epoch = this.#epoch
    const slow = this.#random.next() < this.#times.slowPart
    this.#later(this.#random.next() * this.#times.syncMs * (slow ? 50 : 1), () => {
      if (epoch !== this.#epoch) return
      const synced = this.#written.splice(0, this.#syncing)
      this.#syncing = 0
      for (const write of synced) this.#promote(write)
      for (const write of synced) write.done()
      this.#sync()
    })
  }

  #promote({ output }: Write): void {
    this.durable.write(output)
    this.durableHardState = output.hardState ?? this.durableHardState
  }
}
