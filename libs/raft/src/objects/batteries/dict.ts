import { replicated } from '../definition.js'
import { checkRoom, ITEMS_MAX, itemsOf, MissingError, partsOf } from './bounded.js'
import { checkedKey, type Key } from './key.js'

/** A dictionary on all nodes; its order is that in which keys came in. */
export class ReplicatedDict<K extends Key, V> {
  #entries = new Map<Key, V>()
  readonly #itemsMax: number

  constructor(itemsMax = ITEMS_MAX) {
    this.#itemsMax = itemsMax
  }

  @replicated reset(entries: readonly (readonly [K, V])[] = []): void {
    const next = new Map<Key, V>()
    for (const [key, value] of entries) next.set(checkedKey(key), value)
    checkRoom(0, next.size, this.#itemsMax)
    this.#entries = next
  }

  @replicated set(key: K, value: V): void {
    if (!this.#entries.has(checkedKey(key))) checkRoom(this.#entries.size, 1, this.#itemsMax)
    this.#entries.set(checkedKey(key), value)
  }

  /** What the key has; `value`, set now, if it had nothing. */
  @replicated setDefault(key: K, value: V): V {
    if (!this.#entries.has(checkedKey(key))) this.set(key, value)
    return this.#entries.get(checkedKey(key))!
  }

  @replicated update(entries: readonly (readonly [K, V])[]): void {
    const fresh = new Set(entries.map(([key]) => checkedKey(key)).filter((key) => !this.#entries.has(key)))
    checkRoom(this.#entries.size, fresh.size, this.#itemsMax)
    for (const [key, value] of entries) this.#entries.set(checkedKey(key), value)
  }

  /** Takes the key out and gives its value; `otherwise` when it has none, if given. @throws MissingError */
  @replicated pop(key: K, ...otherwise: readonly [V?]): V {
    const known = checkedKey(key)
    if (!this.#entries.has(known)) {
      if (otherwise.length > 0) return otherwise[0]!
      throw new MissingError(`the dictionary has no key ${String(key)}`)
    }
    const value = this.#entries.get(known)!
    this.#entries.delete(known)
    return value
  }

  /** Sets the value if the present one is the expected one; `undefined` expects none. True when it did. */
  @replicated compareAndSet(key: K, expected: V | undefined, value: V): boolean {
    if (!Object.is(this.#entries.get(checkedKey(key)), expected)) return false
    this.set(key, value)
    return true
  }

  @replicated clear(): void {
    this.#entries.clear()
  }

  get(key: K): V | undefined {
    return this.#entries.get(checkedKey(key))
  }

  has(key: K): boolean {
    return this.#entries.has(checkedKey(key))
  }

  size(): number {
    return this.#entries.size
  }

  keys(): K[] {
    return [...this.#entries.keys()] as K[]
  }

  values(): V[] {
    return [...this.#entries.values()]
  }

  entries(): [K, V][] {
    return [...this.#entries] as [K, V][]
  }

  capture(): Iterable<unknown> {
    return partsOf([...this.#entries])
  }

  restore(parts: readonly unknown[]): void {
    this.#entries = new Map(itemsOf(parts) as [Key, V][])
  }
}
