import type { LogIndex, Term } from '../core/types.js'

/**
 * Term of every index from the compacted one to the last one. Terms change rarely: a run per change.
 * Law: starts ascend; the first is the compacted index.
 */
export class TermRuns {
  #starts: LogIndex[]
  #terms: Term[]

  constructor(compactedIndex: LogIndex, compactedTerm: Term) {
    this.#starts = [compactedIndex]
    this.#terms = [compactedTerm]
  }

  get compactedIndex(): LogIndex {
    return this.#starts[0]!
  }

  get compactedTerm(): Term {
    return this.#terms[0]!
  }

  /** Of the last run. */
  get lastTerm(): Term {
    return this.#terms[this.#terms.length - 1]!
  }

  /** The index must be at least the compacted one; one past the end has the last run's term. */
  at(index: LogIndex): Term {
    return this.#terms[this.#runOf(index)]!
  }

  /** The term from `index` on, which is over everything added before. */
  add(index: LogIndex, term: Term): void {
    if (term === this.lastTerm) return
    // Lists of just the length there is: `push` would make room for sixteen more in every log.
    this.#starts = this.#starts.concat(index)
    this.#terms = this.#terms.concat(term)
  }

  /** Forgets everything from `index` on, which is over the compacted one. */
  truncateFrom(index: LogIndex): void {
    const count = this.#runOf(index - 1) + 1
    if (count === this.#starts.length) return
    this.#starts = this.#starts.slice(0, count)
    this.#terms = this.#terms.slice(0, count)
  }

  /** The terms of the entries behind the compacted one, as many as are given; the log ends with `last`. */
  setFirst(terms: readonly Term[], last: LogIndex): void {
    const runs = new TermRuns(this.compactedIndex, this.compactedTerm)
    for (const [i, term] of terms.entries()) runs.add(this.compactedIndex + 1 + i, term)
    const next = this.compactedIndex + 1 + terms.length
    if (next <= last) {
      const run = this.#runOf(next)
      runs.add(next, this.#terms[run]!)
      for (let i = run + 1; i < this.#starts.length; i++) runs.add(this.#starts[i]!, this.#terms[i]!)
    }
    this.#starts = runs.#starts
    this.#terms = runs.#terms
  }

  /** Forgets everything below `index`, which has this term. */
  compactTo(index: LogIndex, term: Term): void {
    const run = this.#runOf(index)
    this.#starts = [index, ...this.#starts.slice(run + 1)]
    this.#terms = [term, ...this.#terms.slice(run + 1)]
  }

  #runOf(index: LogIndex): number {
    const starts = this.#starts
    let low = 0
    let high = starts.length - 1
    if (index >= starts[high]!) return high
    // starts[low] <= index < starts[high]
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (starts[middle]! <= index) low = middle
      else high = middle
    }
    return low
  }
}
