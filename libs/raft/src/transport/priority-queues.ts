import type { FramePriority } from '../host/outbox.js'
import { type Frame, frameSizeBytes } from './frame.js'

/** Bytes that may wait, of each priority on its own. */
export type QueueBounds = Readonly<Record<FramePriority, number>>

/** After so many bytes of those before it, a frame of a priority leaves although more of them wait. */
const PATIENCE_BYTES = 1024 * 1024

/** First in, first out; taking does not move what is left. */
class FrameQueue {
  readonly bytesMax: number
  bytes = 0
  /** Bytes that others were given before the frame at the head. */
  passedBytes = 0
  #frames: Frame[] = []
  #head = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get isEmpty(): boolean {
    return this.#head === this.#frames.length
  }

  push(frame: Frame): void {
    this.#frames.push(frame)
    this.bytes += frameSizeBytes(frame.payload)
  }

  shift(): Frame {
    const frame = this.#frames[this.#head++]!
    this.bytes -= frameSizeBytes(frame.payload)
    this.passedBytes = 0
    if (this.#head === this.#frames.length || this.#head > 1024) {
      this.#frames = this.#frames.slice(this.#head)
      this.#head = 0
    }
    return frame
  }
}

/** What waits for one connection: urgent before normal before bulk, none of them for ever. */
export class PriorityQueues {
  readonly #urgent: FrameQueue
  readonly #normal: FrameQueue
  readonly #bulk: FrameQueue
  readonly #order: readonly FrameQueue[]

  constructor(bounds: QueueBounds) {
    this.#urgent = new FrameQueue(bounds.urgent)
    this.#normal = new FrameQueue(bounds.normal)
    this.#bulk = new FrameQueue(bounds.bulk)
    this.#order = [this.#urgent, this.#normal, this.#bulk]
  }

  get isEmpty(): boolean {
    return this.#order.every((queue) => queue.isEmpty)
  }

  get bytes(): QueueBounds {
    return { urgent: this.#urgent.bytes, normal: this.#normal.bytes, bulk: this.#bulk.bytes }
  }

  /** Less than half of the bound of bulk waits. */
  get hasBulkRoom(): boolean {
    return this.#bulk.bytes * 2 < this.#bulk.bytesMax
  }

  /** False: the bound of this priority is reached, and nothing was queued. */
  offer(frame: Frame, priority: FramePriority): boolean {
    const queue = this.#queue(priority)
    if (queue.bytes + frameSizeBytes(frame.payload) > queue.bytesMax) return false
    queue.push(frame)
    return true
  }

  /** The next frames, at least one if any waits, until they have `bytesMax` bytes or more. */
  take(bytesMax: number): Frame[] {
    const frames: Frame[] = []
    let bytes = 0
    while (bytes < bytesMax) {
      const from = this.#next()
      if (from === undefined) break
      const frame = from.shift()
      const size = frameSizeBytes(frame.payload)
      for (const queue of this.#order) if (queue !== from && !queue.isEmpty) queue.passedBytes += size
      frames.push(frame)
      bytes += size
    }
    return frames
  }

  clear(): void {
    for (const queue of this.#order) while (!queue.isEmpty) queue.shift()
  }

  #queue(priority: FramePriority): FrameQueue {
    if (priority === 'urgent') return this.#urgent
    return priority === 'normal' ? this.#normal : this.#bulk
  }

  #next(): FrameQueue | undefined {
    let first: FrameQueue | undefined
    for (const queue of this.#order) {
      if (queue.isEmpty) continue
      if (queue.passedBytes >= PATIENCE_BYTES) return queue
      first ??= queue
    }
    return first
  }
}
