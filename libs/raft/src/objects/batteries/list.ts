import { replicated } from '../definition.js'
import { ArgumentError, checkRoom, ITEMS_MAX, itemsOf, MissingError, partsOf } from './bounded.js'

/** A list on all nodes. Indexes below 0 count from the end. */
export class ReplicatedList<T> {
  #items: T[] = []
  readonly #itemsMax: number

  constructor(itemsMax = ITEMS_MAX) {
    this.#itemsMax = itemsMax
  }

  @replicated reset(items: readonly T[] = []): void {
    checkRoom(0, items.length, this.#itemsMax)
    this.#items = [...items]
  }

  /** @throws MissingError */
  @replicated set(index: number, item: T): void {
    this.#items[this.#position(index)] = item
  }

  @replicated append(item: T): void {
    checkRoom(this.#items.length, 1, this.#itemsMax)
    this.#items.push(item)
  }

  @replicated extend(items: readonly T[]): void {
    checkRoom(this.#items.length, items.length, this.#itemsMax)
    for (const item of items) this.#items.push(item)
  }

  /** Before the item at `index`; at the nearest end when there is none. */
  @replicated insert(index: number, item: T): void {
    checkRoom(this.#items.length, 1, this.#itemsMax)
    if (!Number.isInteger(index)) throw new ArgumentError('an index is an integer')
    this.#items.splice(index, 0, item)
  }

  /** The first item that is equal. @throws MissingError */
  @replicated remove(item: T): void {
    this.#items.splice(this.index(item), 1)
  }

  /** Takes out the item at `index`, the last one unless given. @throws MissingError */
  @replicated pop(index = -1): T {
    return this.#items.splice(this.#position(index), 1)[0]!
  }

  /** By number or by text; the order of equal items stays. */
  @replicated sort(reverse = false): void {
    const sign = reverse ? -1 : 1
    this.#items.sort((a, b) => (a < b ? -sign : a > b ? sign : 0))
  }

  /** Position of the first item that is equal. @throws MissingError */
  index(item: T): number {
    const at = this.#items.findIndex((candidate) => Object.is(candidate, item))
    if (at < 0) throw new MissingError('the list has no such item')
    return at
  }

  count(item: T): number {
    return this.#items.filter((candidate) => Object.is(candidate, item)).length
  }

  /** @throws MissingError */
  get(index: number): T {
    return this.#items[this.#position(index)]!
  }

  size(): number {
    return this.#items.length
  }

  /** A copy of all of it. */
  toArray(): T[] {
    return [...this.#items]
  }

  capture(): Iterable<unknown> {
    return partsOf([...this.#items])
  }

  restore(parts: readonly unknown[]): void {
    this.#items = itemsOf(parts) as T[]
  }

  #position(index: number): number {
    const at = index < 0 ? this.#items.length + index : index
    if (!Number.isInteger(at) || at < 0 || at >= this.#items.length)
      throw new MissingError(`the list of ${this.#items.length} items has none at ${index}`)
    return at
  }
}
