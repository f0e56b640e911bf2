/**
 * Runs a question for everyone who asks at about the same time. Who asks while a run is under way gets
 * the next one: an answer is never older than its question.
 */
export class SharedRun<T> {
  readonly #run: () => Promise<T>
  #current: Promise<T> | undefined
  #next: Promise<T> | undefined

  constructor(run: () => Promise<T>) {
    this.#run = run
  }

  ask(): Promise<T> {
    if (this.#current === undefined) return this.#start()
    this.#next ??= this.#current.then(
      () => this.#start(),
      () => this.#start(),
    )
    return this.#next
  }

  #start(): Promise<T> {
    this.#next = undefined
    const run = this.#run()
    const done = (): void => {
      if (this.#current === run) this.#current = undefined
    }
    this.#current = run
    run.then(done, done)
    return run
  }
}
