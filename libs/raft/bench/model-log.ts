import { closeSync, fdatasync, fsyncSync, openSync, write, writeSync } from 'node:fs'
import { BatchSizes } from './batch-sizes.js'
import type { DiskReading } from './disk-meter.js'
import { Latencies } from './latencies.js'

const FILE_BYTES = 64 * 1024 * 1024
const ZEROS = new Uint8Array(1024 * 1024)

/**
 * The least that makes bytes durable: a file that is as large as it gets and already written once, so
 * that a sync has no size or block to store; whatever comes during a sync is written together after it.
 */
export class ModelLog {
  readonly #descriptor: number
  readonly #onDurable: (sequence: number) => void
  readonly #syncs = new Latencies()
  readonly #batches = new BatchSizes()
  #waiting: Uint8Array[] = []
  #waitingMessages = 0
  #lastSequence = 0
  #position = 0
  #isBusy = false

  /** @param onDurable everything up to this sequence number is on disk */
  constructor(path: string, onDurable: (sequence: number) => void) {
    this.#onDurable = onDurable
    this.#descriptor = openSync(path, 'w')
    for (let at = 0; at < FILE_BYTES; at += ZEROS.length)
      writeSync(this.#descriptor, ZEROS, 0, ZEROS.length, at)
    fsyncSync(this.#descriptor)
  }

  /** @param lastSequence that of the last of the messages in `bytes` */
  append(bytes: Uint8Array, lastSequence: number): void {
    this.#waiting.push(bytes)
    this.#waitingMessages += lastSequence - this.#lastSequence
    this.#lastSequence = lastSequence
    if (!this.#isBusy) this.#write()
  }

  clear(): void {
    this.#syncs.clear()
    this.#batches.clear()
  }

  read(): DiskReading {
    return { syncs: this.#syncs.pack(), batches: this.#batches.pack() }
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  #write(): void {
    const bytes = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting)
    const sequence = this.#lastSequence
    this.#batches.record(Math.max(1, this.#waitingMessages))
    this.#waiting = []
    this.#waitingMessages = 0
    this.#isBusy = true
    if (this.#position + bytes.length > FILE_BYTES) this.#position = 0
    write(this.#descriptor, bytes, 0, bytes.length, this.#position, (error) => {
      if (error !== null) throw error
      const startedMs = performance.now()
      fdatasync(this.#descriptor, (syncError) => {
        if (syncError !== null) throw syncError
        this.#syncs.record(performance.now() - startedMs)
        this.#isBusy = false
        if (this.#waiting.length > 0) this.#write()
        this.#onDurable(sequence)
      })
    })
    this.#position += bytes.length
  }
}
