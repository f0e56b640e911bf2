import { replicated } from '../definition.js'
import { ArgumentError } from './bounded.js'

/** A number on all nodes. */
export class ReplicatedCounter {
  #value = 0

  /** The new value. */
  @replicated set(value: number): number {
    if (!Number.isFinite(value)) throw new ArgumentError('a counter holds a finite number')
    this.#value = value
    return value
  }

  @replicated add(by: number): number {
    return this.set(this.#value + by)
  }

  @replicated subtract(by: number): number {
    return this.set(this.#value - by)
  }

  @replicated increment(): number {
    return this.set(this.#value + 1)
  }

  get(): number {
    return this.#value
  }

  capture(): Iterable<unknown> {
    return [this.#value]
  }

  restore(parts: readonly unknown[]): void {
    this.#value = Number(parts[0])
  }
}
