import type { RaftMessage } from '../core/types.js'

const LINES_MAX = 60
/** Looked up once: a test's global object is slow to ask. */
const { floor, imul, round } = Math

/** What happened, as a hash that two runs of one seed share, and as text when a run is told again. */
export class Trace {
  readonly lines: string[] = []
  readonly #verbose: boolean
  #high = 0x811c9dc5
  #low = 0x01000193

  constructor(verbose: boolean) {
    this.#verbose = verbose
  }

  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0')
  }

  note(atMs: number, what: string, ...values: readonly number[]): void {
    this.#mix(round(atMs * 1000))
    for (let i = 0; i < what.length; i++) this.#mix(what.charCodeAt(i))
    for (const value of values) this.#mix(value)
    this.#tell(() => `${atMs.toFixed(2).padStart(9)} ${what} ${values.join(' ')}`)
  }

  message(atMs: number, what: 'sent' | 'received', message: RaftMessage): void {
    const { kind, from, to, term, index, logTerm, commit, reject, hint, context, count } = message
    this.#mix(round(atMs * 1000))
    this.#mix(what.length + (reject ? 100 : 0))
    for (const value of [kind, from, to, term, index, logTerm, commit, hint, context, count]) this.#mix(value)
    this.#tell(
      () =>
        `${atMs.toFixed(2).padStart(9)} ${what} ${from}>${to} kind ${kind}${reject ? ' REJECT' : ''} term ${term}` +
        ` index ${index}/${logTerm} commit ${commit} hint ${hint} context ${context} count ${count}`,
    )
  }

  #mix(value: number): void {
    this.#high = imul(this.#high ^ (value | 0), 0x01000193) ^ (this.#low >>> 15)
    this.#low = imul(this.#low ^ (this.#high + floor(value / 0x1_0000_0000)), 0x85ebca6b)
  }

  #tell(line: () => string): void {
    if (!this.#verbose) return
    if (this.lines.length === LINES_MAX) this.lines.shift()
    this.lines.push(line())
  }
}
