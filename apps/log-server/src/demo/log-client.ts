import { delay, type Random, systemClock } from '@sluice/foundation'
import { call } from './http-call.js'
import { type Scenario, type Seconds, SETTLE_SECONDS } from './scenario.js'
import type { LoggedEntry } from './verdict.js'

const WORDS = 'lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt'.split(
  ' ',
)
/** A client gives up on an entry when it hears nothing for so long. Milliseconds. */
const SILENT_MS = 5000

export interface ClientReport {
  readonly logged: readonly LoggedEntry[]
  readonly refusedCount: number
  /** By server: when it crashed for good, or `undefined`. */
  readonly crashedAtMs: readonly (number | undefined)[]
  readonly answerMs: readonly number[]
}

/** The client of the log: sends entries to nodes at random, and has nodes crash and recover meanwhile. */
export class LogClient {
  readonly #ports: readonly number[]
  readonly #scenario: Scenario
  readonly #speed: number
  readonly #random: Random
  readonly #logged: LoggedEntry[] = []
  readonly #answerMs: number[] = []
  readonly #crashedAtMs: (number | undefined)[]
  #refusedCount = 0
  /** Crashes end with the last entry. */
  readonly #over = new AbortController()

  /** @param speed divides every wait */
  constructor(parts: {
    readonly ports: readonly number[]
    readonly scenario: Scenario
    readonly speed: number
    readonly random: Random
  }) {
    this.#ports = parts.ports
    this.#scenario = parts.scenario
    this.#speed = parts.speed
    this.#random = parts.random
    this.#crashedAtMs = parts.ports.map(() => undefined)
  }

  async run(onProgress: (sent: number, logged: number) => void): Promise<ClientReport> {
    const threads = Array.from({ length: this.#scenario.crashThreads(this.#ports.length) }, () =>
      this.#keepCrashing(),
    )
    for (let sent = 0; sent < this.#scenario.entryCount; sent++) {
      await this.#put()
      onProgress(sent + 1, this.#logged.length)
      await this.#wait(this.#scenario.pause)
    }
    await this.#wait([SETTLE_SECONDS, SETTLE_SECONDS])
    // What is crashed now stays so: the threads end with the client.
    this.#over.abort()
    await Promise.all(threads)
    for (const port of this.#ports) await call({ method: 'POST', port, path: '/exit', silentMs: 0 })
    return {
      logged: this.#logged,
      refusedCount: this.#refusedCount,
      crashedAtMs: this.#crashedAtMs,
      answerMs: this.#answerMs,
    }
  }

  async #put(): Promise<void> {
    const text = `${WORDS[this.#random.below(WORDS.length)]!}${this.#random.below(10_000_000)}`
    // The texts are compared as a set: the same word twice would hide a loss.
    if (this.#logged.some((entry) => entry.text === text)) return
    const port = this.#ports[this.#random.below(this.#ports.length)]!
    const sentAtMs = systemClock.monotonic()
    const isLogged = await call({
      method: 'PUT',
      port,
      path: '/',
      body: Buffer.from(text),
      silentMs: SILENT_MS,
    })
    const answeredAtMs = systemClock.monotonic()
    if (isLogged) {
      this.#logged.push({ text, sentAtMs, answeredAtMs })
      this.#answerMs.push(answeredAtMs - sentAtMs)
    } else {
      this.#refusedCount++
    }
  }

  async #keepCrashing(): Promise<void> {
    const { signal } = this.#over
    while (!signal.aborted) {
      const server = this.#random.below(this.#ports.length)
      const port = this.#ports[server]!
      await call({ method: 'POST', port, path: '/crash', silentMs: 0 })
      this.#crashedAtMs[server] ??= systemClock.monotonic()
      await this.#wait(this.#scenario.crashLasts, signal)
      if (hasEnded(signal)) return
      // Before the call: an entry that comes meanwhile is one that the server may well have.
      this.#crashedAtMs[server] = undefined
      await call({ method: 'POST', port, path: '/recover', silentMs: 0 })
      await this.#wait(this.#scenario.crashPause, signal)
    }
  }

  async #wait([from, to]: Seconds, signal?: AbortSignal): Promise<void> {
    const seconds = from === to ? from : from + this.#random.below(to - from + 1)
    if (seconds === 0 || signal?.aborted === true) return
    await delay((seconds * 1000) / this.#speed, signal).catch(() => undefined)
  }
}

/** A signal changes while one waits. */
function hasEnded(signal: AbortSignal): boolean {
  return signal.aborted
}
