/** Work on one thing (a group) is done one piece after the other; different things do not wait for each other. */
export class Turns<K> {
  readonly #last = new Map<K, Promise<unknown>>()

  /** Begins when everything before it for `key` has ended, one way or the other. */
  run<T>(key: K, work: () => T | Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const turn = before === undefined ? begin(work) : before.then(work, work)
    this.#last.set(key, turn)
    const forget = (): void => {
      if (this.#last.get(key) === turn) this.#last.delete(key)
    }
    turn.then(forget, forget)
    return turn
  }

  /** Resolves when nothing is going on. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled(this.#last.values())
  }
}

async function begin<T>(work: () => T | Promise<T>): Promise<T> {
  return await work()
}
