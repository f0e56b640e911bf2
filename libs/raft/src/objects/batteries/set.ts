import { replicated } from '../definition.js'
import { checkRoom, ITEMS_MAX, itemsOf, MissingError, partsOf } from './bounded.js'
import { checkedKey, type Key } from './key.js'

/** A set on all nodes; its order is that in which members came in. */
export class ReplicatedSet<T extends Key> {
  #members = new Set<Key>()
  readonly #itemsMax: number

  constructor(itemsMax = ITEMS_MAX) {
    this.#itemsMax = itemsMax
  }

  @replicated reset(members: readonly T[] = []): void {
    checkRoom(0, members.length, this.#itemsMax)
    this.#members = new Set(members.map(checkedKey))
  }

  /** False when it was there already. */
  @replicated add(member: T): boolean {
    if (this.#members.has(checkedKey(member))) return false
    checkRoom(this.#members.size, 1, this.#itemsMax)
    this.#members.add(checkedKey(member))
    return true
  }

  /** @throws MissingError */
  @replicated remove(member: T): void {
    if (!this.#members.delete(checkedKey(member))) throw new MissingError('the set has no such member')
  }

  /** False when it was not there. */
  @replicated discard(member: T): boolean {
    return this.#members.delete(checkedKey(member))
  }

  /** Takes out the oldest member. @throws MissingError */
  @replicated pop(): T {
    for (const member of this.#members) {
      this.#members.delete(member)
      return member as T
    }
    throw new MissingError('the set is empty')
  }

  @replicated update(members: readonly T[]): void {
    const fresh = new Set(members.map(checkedKey).filter((member) => !this.#members.has(member)))
    checkRoom(this.#members.size, fresh.size, this.#itemsMax)
    for (const member of fresh) this.#members.add(member)
  }

  @replicated clear(): void {
    this.#members.clear()
  }

  has(member: T): boolean {
    return this.#members.has(checkedKey(member))
  }

  size(): number {
    return this.#members.size
  }

  toArray(): T[] {
    return [...this.#members] as T[]
  }

  capture(): Iterable<unknown> {
    return partsOf([...this.#members])
  }

  restore(parts: readonly unknown[]): void {
    this.#members = new Set(itemsOf(parts) as Key[])
  }
}
