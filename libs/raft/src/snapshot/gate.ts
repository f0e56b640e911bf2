import { SnapshotBusyError } from './errors.js'

/** Lets a number of pieces of work go on at a time; a number of others wait, first come, first served. */
export class Gate {
  readonly #roomMax: number
  readonly #waitingMax: number
  readonly #waiting: (() => void)[] = []
  #inside = 0

  constructor(bounds: { readonly roomMax: number; readonly waitingMax: number }) {
    this.#roomMax = bounds.roomMax
    this.#waitingMax = bounds.waitingMax
  }

  /** @throws SnapshotBusyError when too many wait already; the work is not begun then */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside === this.#roomMax) {
      if (this.#waiting.length >= this.#waitingMax)
        throw new SnapshotBusyError(`${this.#waitingMax} others wait for a snapshot file already`)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#inside++
    try {
      return await work()
    } finally {
      // Whoever is next takes the place over, so that nobody slips in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#inside--
      else next()
    }
  }
}
