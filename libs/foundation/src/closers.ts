interface Closer {
  readonly name: string
  readonly close: () => unknown
}

/** What a start has opened so far; closes it in reverse order, all of it, even when one part fails. */
export class Closers {
  readonly #closers: Closer[] = []
  #closing: Promise<void> | undefined

  add(name: string, close: () => unknown): void {
    this.#closers.push({ name, close })
  }

  /** May be called twice: the second call waits for the first. Rejects with everything that failed. */
  closeAll(): Promise<void> {
    this.#closing ??= this.#run()
    return this.#closing
  }

  async #run(): Promise<void> {
    const failures: Error[] = []
    for (const closer of this.#closers.reverse()) {
      try {
        await closer.close()
      } catch (cause) {
        failures.push(new Error(`closing ${closer.name} failed`, { cause }))
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map((f) => f.message).join('; '))
  }
}
