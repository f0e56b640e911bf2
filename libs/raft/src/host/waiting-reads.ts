import type { RaftCore } from '../core/core.js'
import type { LogIndex, NodeId, RaftOutput } from '../core/types.js'

export type ReadOutcome =
  | { readonly kind: 'ready'; readonly index: LogIndex }
  /** Nobody is known to lead, or leadership changed meanwhile: asking again can help. */
  | { readonly kind: 'not-leader'; readonly leader: NodeId | 0 }
  | { readonly kind: 'overloaded' }

type Done = (outcome: ReadOutcome) => void

/** Reads of one group: first they wait for the index to read at, then until it is applied here. */
export class WaitingReads {
  readonly #core: RaftCore
  #asked: Map<number, Done> | undefined
  #indexed: { readonly index: LogIndex; readonly done: Done }[] = []
  #nextToken = 1

  constructor(core: RaftCore) {
    this.#core = core
  }

  ask(done: Done): void {
    // Those that wait to be applied are bounded like those that wait to be asked for.
    if (this.#indexed.length >= this.#core.readsMax) {
      done({ kind: 'overloaded' })
      return
    }
    const token = this.#nextToken++
    const asked = this.#core.readIndex(token)
    if (asked.kind === 'accepted') (this.#asked ??= new Map<number, Done>()).set(token, done)
    else done(asked)
  }

  /** The core has answered some. */
  settle(output: Pick<RaftOutput, 'reads' | 'readsRefused'>): void {
    for (const token of output.readsRefused)
      this.#take(token)?.({ kind: 'not-leader', leader: this.#core.leader })
    for (const { token, index } of output.reads) {
      const done = this.#take(token)
      if (done === undefined) continue
      if (index <= this.#core.applied) done({ kind: 'ready', index })
      else this.#indexed.push({ index, done })
    }
  }

  appliedTo(index: LogIndex): void {
    if (this.#indexed.length === 0) return
    const ready = this.#indexed.filter((read) => read.index <= index)
    this.#indexed = this.#indexed.filter((read) => read.index > index)
    for (const read of ready) read.done({ kind: 'ready', index: read.index })
  }

  close(): void {
    const waiting = [...(this.#asked?.values() ?? []), ...this.#indexed.map(({ done }) => done)]
    this.#asked = undefined
    this.#indexed = []
    for (const done of waiting) done({ kind: 'not-leader', leader: 0 })
  }

  #take(token: number): Done | undefined {
    const done = this.#asked?.get(token)
    this.#asked?.delete(token)
    return done
  }
}
