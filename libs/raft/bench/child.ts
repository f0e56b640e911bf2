import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Deferred, deferred } from '@sluice/foundation'
import type { CallMessage, Calls, ChildMessage } from './calls.js'

export interface ChildOptions {
  /** File name of the program, beside this one. */
  readonly program: string
  /** Where to write a CPU profile when the child ends by itself, and its file name. */
  readonly profile?: { readonly directory: string; readonly name: string } | undefined
  readonly onEvent?: (value: unknown) => void
}

/** A program in a process of its own, which is called by message. */
export class Child<T extends Calls<T>> {
  readonly name: string
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, Deferred<unknown>>()
  readonly #exited = deferred<undefined>()
  #nextId = 1

  constructor(name: string, { program, profile, onEvent }: ChildOptions) {
    this.name = name
    const profiling =
      profile === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${profile.directory}`, `--cpu-prof-name=${profile.name}.cpuprofile`]
    this.#process = fork(fileURLToPath(new URL(program, import.meta.url)), {
      serialization: 'advanced',
      execArgv: ['--expose-gc', ...profiling],
    })
    this.#process.on('message', (message) => this.#take(message as ChildMessage, onEvent))
    this.#process.on('error', (error) => this.#ended(error))
    this.#process.on('exit', (code, signal) => {
      this.#ended(new Error(`${name} ended with ${signal ?? String(code)}`))
      this.#exited.resolve(undefined)
    })
  }

  /** @throws Error what the call threw there, or that the process ended */
  async call<Name extends keyof T & string>(
    name: Name,
    ...args: Parameters<T[Name]>
  ): Promise<Awaited<ReturnType<T[Name]>>> {
    const id = this.#nextId++
    const answer = deferred<unknown>()
    this.#waiting.set(id, answer)
    const message: CallMessage = { id, name, args }
    this.#process.send(message, (error) => {
      if (error !== null) answer.reject(error)
    })
    return (await answer.promise) as Awaited<ReturnType<T[Name]>>
  }

  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.kill(signal)
  }

  /** Resolves when the process is gone. */
  get exited(): Promise<undefined> {
    return this.#exited.promise
  }

  /** Lets the process end by itself: it does when its parent hangs up. */
  async end(): Promise<void> {
    if (this.#process.connected) this.#process.disconnect()
    // One that is stopped would never notice.
    this.#process.kill('SIGCONT')
    await this.#exited.promise
  }

  #take(message: ChildMessage, onEvent: ((value: unknown) => void) | undefined): void {
    if (message.kind === 'event') {
      onEvent?.(message.value)
      return
    }
    const answer = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (message.kind === 'result') answer?.resolve(message.value)
    else answer?.reject(new Error(`${this.name}: ${message.message}`))
  }

  #ended(error: Error): void {
    for (const answer of this.#waiting.values()) answer.reject(error)
    this.#waiting.clear()
  }
}
