import type { LogStore } from '@sluice/raft'
import { BatchSizes } from './batch-sizes.js'
import type { Disk, WalFile } from './internals.js'
import { Latencies, type PackedLatencies } from './latencies.js'

/** What a disk did, as it travels between processes. */
export interface DiskReading {
  readonly syncs: PackedLatencies
  readonly batches: readonly number[]
}

/** Watches a log from both sides: the entries that it is given, and the syncs that it makes. */
export class DiskMeter {
  readonly syncs = new Latencies()
  readonly batches = new BatchSizes()
  #entriesWaiting = 0
  #lastFilledMs = Number.NEGATIVE_INFINITY

  clear(): void {
    this.syncs.clear()
    this.batches.clear()
  }

  read(): DiskReading {
    return { syncs: this.syncs.pack(), batches: this.batches.pack() }
  }

  /** What was handed over until now goes to disk. */
  writing(): void {
    if (this.#entriesWaiting === 0) return
    this.batches.record(this.#entriesWaiting)
    this.#entriesWaiting = 0
  }

  /** Some of a file was filled with zeros, ahead of its use. */
  filled(): void {
    this.#lastFilledMs = performance.now()
  }

  /** For how long no file was filled, milliseconds. */
  get unfilledMs(): number {
    return performance.now() - this.#lastFilledMs
  }

  /** The files with a clock beside each sync. */
  files(disk: Disk): Disk {
    return { ...disk, open: async (path, mode) => new MeteredFile(await disk.open(path, mode), this) }
  }

  /** The store, with the entries counted that are handed to it. */
  store(store: LogStore): LogStore {
    return {
      group: (id) => store.group(id),
      createGroup: (id, uuid, name) => store.createGroup(id, uuid, name),
      append: (writes, done) => {
        for (const { entries } of writes) this.#entriesWaiting += entries?.length ?? 0
        store.append(writes, done)
      },
      compact: (id, index) => store.compact(id, index),
      removeGroup: (id) => store.removeGroup(id),
      get stalledMs() {
        return store.stalledMs
      },
    }
  }
}

class MeteredFile implements WalFile {
  readonly #file: WalFile
  readonly #meter: DiskMeter
  #isFilling = false

  constructor(file: WalFile, meter: DiskMeter) {
    this.#file = file
    this.#meter = meter
  }

  write(bytes: Uint8Array, position: number): Promise<number> {
    // Headers and batches begin with a magic number.
    this.#isFilling = bytes[0] === 0
    if (!this.#isFilling) this.#meter.writing()
    return this.#file.write(bytes, position)
  }

  read(bytes: Uint8Array, position: number): Promise<number> {
    return this.#file.read(bytes, position)
  }

  async sync(): Promise<void> {
    const startedMs = performance.now()
    await this.#file.sync()
    if (this.#isFilling) this.#meter.filled()
    else this.#meter.syncs.record(performance.now() - startedMs)
  }

  size(): Promise<number> {
    return this.#file.size()
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
