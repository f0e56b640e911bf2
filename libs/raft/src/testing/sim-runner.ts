import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { deferred, type Deferred, messageOf } from '@sluice/foundation'
import type { RunCounts } from './run-counts.js'
import { simulate, SimulationFailure, type SimulateOptions } from './simulate.js'

/** What can be said of a run to another process. */
export type RunRequest = Omit<SimulateOptions, 'clock'>

export type RunOutcome =
  | { readonly kind: 'survived'; readonly counts: RunCounts; readonly traceHash: string }
  /** `text` has everything that is needed to see it again. */
  | { readonly kind: 'failed'; readonly headline: string; readonly text: string }

/** Where runs take place. */
export interface SimRunner {
  run(request: RunRequest): Promise<RunOutcome>
  close(): Promise<void>
}

/** In this process, one after the other. */
export const localRunner: SimRunner = {
  async run(request) {
    try {
      return { kind: 'survived', ...(await simulate(request)) }
    } catch (error) {
      const headline = error instanceof SimulationFailure ? error.headline : messageOf(error)
      return { kind: 'failed', headline, text: messageOf(error) }
    }
  },
  close: () => Promise.resolve(),
}

/** In a process of its own, one after the other. */
export class ProcessRunner implements SimRunner {
  readonly #child: ChildProcess
  #waiting: Deferred<RunOutcome> | undefined

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./sim-worker.js', import.meta.url)))
    this.#child.on('message', (outcome: RunOutcome) => {
      this.#waiting?.resolve(outcome)
      this.#waiting = undefined
    })
    this.#child.on('exit', (code) => {
      this.#waiting?.reject(new Error(`a process that simulates ended with ${code ?? 'a signal'}`))
    })
  }

  async run(request: RunRequest): Promise<RunOutcome> {
    this.#waiting = deferred<RunOutcome>()
    this.#child.send(request)
    return this.#waiting.promise
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || !this.#child.connected) return
    const exit = once(this.#child, 'exit')
    this.#child.disconnect()
    await exit
  }
}
