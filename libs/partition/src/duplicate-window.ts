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
  readonly id: string
  readonly known: KnownRun
  readonly age: number
}

/** Room at the front of the list is given back when it is more than this. */
const SLACK = 8192

/**
 * The newest ids of a partition with what became of them. Only a leader decides by it, so replicas need
 * not forget at the same moment.
 */
export class DuplicateWindow {
  readonly #runs = new Map<string, Remembered>()
  /** Oldest first. A list of its own: to find a map's first key, all that were deleted are passed over. */
  #order: Remembered[] = []
  #first = 0
  #age = 0

  get(id: string): KnownRun | undefined {
    return this.#runs.get(id)?.known
  }

  add(id: string, known: KnownRun): void {
    const remembered = { id, known, age: this.#age }
    this.#runs.set(id, remembered)
    this.#order.push(remembered)
    if (this.#order.length - this.#first > DUPLICATE_WINDOW_CALLS) this.#forgetOldest()
  }

  /** To be called once a minute: forgets what was added ten calls ago. */
  grow(): void {
    this.#age++
    while (this.#first < this.#order.length && this.#order[this.#first]!.age <= this.#age - AGES)
      this.#forgetOldest()
    if (this.#first === this.#order.length) this.#giveBack()
  }

  #forgetOldest(): void {
    const oldest = this.#order[this.#first++]!
    // It may have come again since.
    if (this.#runs.get(oldest.id) === oldest) this.#runs.delete(oldest.id)
    if (this.#first > SLACK) this.#giveBack()
  }

  #giveBack(): void {
    this.#order = this.#order.slice(this.#first)
    this.#first = 0
  }
}
