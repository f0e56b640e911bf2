import { replicated } from '../definition.js'
import { ITEMS_MAX, itemsOf, partsOf } from './bounded.js'

/** A queue on all nodes: first in, first out. */
export class ReplicatedQueue<T> {
  #items: T[] = []
  #first = 0
  readonly #itemsMax: number

  constructor(itemsMax = ITEMS_MAX) {
    this.#itemsMax = itemsMax
  }

  /** False when it is full. */
  @replicated put(item: T): boolean {
    if (this.full()) return false
    this.#items.push(item)
    return true
  }

  /** Takes out the oldest item; `otherwise` when there is none. */
  @replicated get(otherwise?: T): T | undefined {
    if (this.empty()) return otherwise
    const item = this.#items[this.#first]!
    this.#first++
    if (this.#first > 1000 && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first)
      this.#first = 0
    }
    return item
  }

  size(): number {
    return this.#items.length - this.#first
  }

  empty(): boolean {
    return this.size() === 0
  }

  full(): boolean {
    return this.size() >= this.#itemsMax
  }

  capture(): Iterable<unknown> {
    return partsOf(this.#items.slice(this.#first))
  }

  restore(parts: readonly unknown[]): void {
    this.#items = itemsOf(parts) as T[]
    this.#first = 0
  }
}
