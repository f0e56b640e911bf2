import { type Deferred, deferred, toError } from '@sluice/foundation'

/** Looks many things up at once; those that are not found are left out. */
export type LoadAll<T> = (ids: readonly number[]) => Promise<ReadonlyMap<number, T>>

/** Look-ups that are asked for in the same turn share a question, so that a thousand cost about as much as one. */
export class SharedLoads<T> {
  readonly #loadAll: LoadAll<T>
  #asked = new Map<number, Deferred<T | undefined>>()

  constructor(loadAll: LoadAll<T>) {
    this.#loadAll = loadAll
  }

  load(id: number): Promise<T | undefined> {
    const known = this.#asked.get(id)
    if (known !== undefined) return known.promise
    const answer = deferred<T | undefined>()
    this.#asked.set(id, answer)
    if (this.#asked.size === 1) setImmediate(() => void this.#answer())
    return answer.promise
  }

  async #answer(): Promise<void> {
    const asked = this.#asked
    this.#asked = new Map()
    try {
      const found = await this.#loadAll([...asked.keys()])
      for (const [id, answer] of asked) answer.resolve(found.get(id))
    } catch (error) {
      for (const answer of asked.values()) answer.reject(toError(error))
    }
  }
}
