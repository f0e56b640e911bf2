/**
 * How many calls, or messages with an id of their own, one partition remembers to recognise when they come
 * again: at 5,000 a second in one partition those of 13 seconds, at 100 a second those of ten minutes.
 */
export const DUPLICATE_WINDOW_CALLS = 65_536
/** How often a partition is aged until what it remembers is forgotten; it is aged once a minute. */
const AGES = 10

/** What became of the messages that were sent under an id. */
export type KnownRun =
  | {
      readonly kind: 'stored'
      readonly baseOffset: number
      /** Timestamp that messages without one of their own got. */
      readonly at: number
    }
  /** Nothing, and nothing ever will: a later try asked for it and went elsewhere. */
  | { readonly kind: 'void' }

interface Remembered {
  readonly known: KnownRun
  readonly age: number
}

/**
 * The newest ids of a partition with what became of them. Only a leader decides by it, so replicas need
 * not forget at the same moment.
 */
export class DuplicateWindow {
  // Oldest first.
  readonly #runs = new Map<string, Remembered>()
  #age = 0

  get size(): number {
    return this.#runs.size
  }

  get(id: string): KnownRun | undefined {
    return this.#runs.get(id)?.known
  }

  add(id: string, known: KnownRun): void {
    this.#runs.delete(id)
    this.#runs.set(id, { known, age: this.#age })
    if (this.#runs.size > DUPLICATE_WINDOW_CALLS) this.#runs.delete(this.#runs.keys().next().value!)
  }

  /** To be called once a minute: forgets what was added ten calls ago. */
  grow(): void {
    this.#age++
    for (const [id, { age }] of this.#runs) {
      if (age > this.#age - AGES) return
      this.#runs.delete(id)
    }
  }
}
