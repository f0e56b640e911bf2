import { replicated } from '../definition.js'
import { ITEMS_MAX, itemsOf, partsOf } from './bounded.js'

interface Ranked<T> {
  readonly item: T
  /** Order of arrival, so that equals come out as they went in. */
  readonly arrival: number
}

/** A queue on all nodes from which the smallest item comes out first, by number or by text. */
export class ReplicatedPriorityQueue<T> {
  #heap: Ranked<T>[] = []
  #lastArrival = 0
  readonly #itemsMax: number

  constructor(itemsMax = ITEMS_MAX) {
    this.#itemsMax = itemsMax
  }

  /** False when it is full. */
  @replicated put(item: T): boolean {
    if (this.full()) return false
    this.#heap.push({ item, arrival: ++this.#lastArrival })
    this.#rise(this.#heap.length - 1)
    return true
  }

  /** Takes out the smallest item; `otherwise` when there is none. */
  @replicated get(otherwise?: T): T | undefined {
    const first = this.#heap[0]
    if (first === undefined) return otherwise
    const last = this.#heap.pop()!
    if (this.#heap.length > 0) {
      this.#heap[0] = last
      this.#sink(0)
    }
    return first.item
  }

  size(): number {
    return this.#heap.length
  }

  empty(): boolean {
    return this.#heap.length === 0
  }

  full(): boolean {
    return this.#heap.length >= this.#itemsMax
  }

  capture(): Iterable<unknown> {
    const heap = this.#heap.map(({ item, arrival }) => [item, arrival])
    return [[this.#lastArrival], ...partsOf(heap)]
  }

  restore(parts: readonly unknown[]): void {
    const [[lastArrival] = []] = parts as [[number]?]
    this.#heap = (itemsOf(parts.slice(1)) as [T, number][]).map(([item, arrival]) => ({ item, arrival }))
    this.#lastArrival = lastArrival ?? 0
  }

  #comesBefore(a: Ranked<T>, b: Ranked<T>): boolean {
    if (a.item < b.item) return true
    return !(b.item < a.item) && a.arrival < b.arrival
  }

  #rise(from: number): void {
    for (let at = from; at > 0;) {
      const parent = (at - 1) >> 1
      if (!this.#comesBefore(this.#heap[at]!, this.#heap[parent]!)) return
      this.#swap(at, parent)
      at = parent
    }
  }

  #sink(from: number): void {
    for (let at = from; ;) {
      let smallest = at
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < this.#heap.length && this.#comesBefore(this.#heap[child]!, this.#heap[smallest]!))
          smallest = child
      if (smallest === at) return
      this.#swap(at, smallest)
      at = smallest
    }
  }

  #swap(a: number, b: number): void {
    const kept = this.#heap[a]!
    this.#heap[a] = this.#heap[b]!
    this.#heap[b] = kept
  }
}
