import { type ChildProcess, fork } from 'node:child_process'
import { type Clock, type Deferred, deferred, delay, messageOf } from '@sluice/foundation'
import { LineSplitter } from './line-splitter.js'
import type { ProcessPlan } from './process-plan.js'
import { answersOk } from './readiness.js'
import { RestartDelay } from './restart-delay.js'

const lastLinesMax = 20
const readyPollMs = 50

/** A process that did not come up, with what it said last. */
export class ProcessStartError extends Error {
  override readonly name = 'ProcessStartError'
  readonly processName: string
  readonly lastLines: readonly string[]
  /** It is not there any more; else it took too long. */
  readonly hasEnded: boolean

  constructor(processName: string, reason: string, lastLines: readonly string[], hasEnded = false) {
    super(`${processName} ${reason}`)
    this.processName = processName
    this.lastLines = lastLines
    this.hasEnded = hasEnded
  }

  /** The port was taken between its choice and its use. */
  get portTaken(): boolean {
    return this.lastLines.some((line) => line.includes('EADDRINUSE'))
  }
}

export interface ProcessListener {
  /** A line the process wrote; `fromStderr` is not JSON as a rule. */
  line(name: string, text: string, fromStderr: boolean): void
  /** Its id changed: it was started, or it ended. */
  changed(): void
  /** It ended though nobody asked it to, and is started again after `delayMs`. */
  ended(name: string, reason: string, delayMs: number): void
  /** It serves again after it had ended. */
  recovered(name: string): void
}

export interface ProcessTimes {
  /** How long a process may take until it serves, milliseconds. */
  readonly startTimeoutMs: number
  /** How long a process may take to stop before it is killed, milliseconds. */
  readonly stopTimeoutMs: number
  readonly restartDelayMs: number
}

/**
 * A child process that is kept running. It is forked with a channel, on whose end ('disconnect') it
 * stops by itself, so that it does not outlive this process; and into a process group of its own, so
 * that Ctrl-C reaches this process alone, which then stops the children in order.
 */
export class ManagedProcess {
  readonly plan: ProcessPlan
  readonly #times: ProcessTimes
  readonly #listener: ProcessListener
  readonly #clock: Clock
  readonly #restartDelay: RestartDelay
  readonly #stopping = new AbortController()
  #child: ChildProcess | undefined
  #exit: Promise<string> = Promise.resolve('was not started')
  #keeping: Promise<void> | undefined
  #lastLines: string[] = []
  #ready = false
  #startedAt = 0

  constructor(plan: ProcessPlan, times: ProcessTimes, listener: ProcessListener, clock: Clock) {
    this.plan = plan
    this.#times = times
    this.#listener = listener
    this.#clock = clock
    this.#restartDelay = new RestartDelay(times.restartDelayMs)
  }

  /** Of the process that runs now. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  get ready(): boolean {
    return this.#ready
  }

  /**
   * Resolves once the process serves; it is kept running from then on.
   *
   * @param mayWait while it is true, the process may take as long as it likes
   * @throws ProcessStartError when it ends or takes too long
   */
  async start(mayWait: () => boolean = () => false): Promise<void> {
    if (this.#isStopping()) throw new ProcessStartError(this.plan.name, 'was stopped', [])
    const startedAt = this.#clock.monotonic()
    this.#startedAt = startedAt
    this.#launch()
    await this.#untilReady(mayWait)
    this.#keeping = this.#keep(startedAt)
  }

  /** After a start that failed because the process ended: starts it again whenever it ends, as if it had served. */
  keepTrying(): void {
    this.#keeping = this.#keep(this.#startedAt)
  }

  /** Asks the process to stop, and kills it when it does not. Gives how it went. */
  async stop(): Promise<'stopped' | 'killed'> {
    this.#stopping.abort(new Error('stopping'))
    const child = this.#child
    let how: 'stopped' | 'killed' = 'stopped'
    if (child !== undefined) {
      child.kill('SIGTERM')
      const patience = new AbortController()
      const late = delay(this.#times.stopTimeoutMs, patience.signal).then(
        () => 'late',
        () => 'late',
      )
      if ((await Promise.race([this.#exit.then(() => 'gone'), late])) === 'late') {
        how = 'killed'
        child.kill('SIGKILL')
        await this.#exit
      }
      patience.abort()
    }
    await this.#keeping
    return how
  }

  /** Ends the process at once. */
  kill(): void {
    this.#stopping.abort(new Error('stopping'))
    this.#child?.kill('SIGKILL')
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted
  }

  #launch(): void {
    const { script, args, env } = this.plan
    this.#lastLines = []
    this.#ready = false
    const ended = deferred<string>()
    this.#exit = ended.promise
    const child = fork(script, [...args], {
      env: { ...env },
      execArgv: [],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    })
    this.#child = child
    const out = new LineSplitter((line) => this.#line(line, false))
    const err = new LineSplitter((line) => this.#line(line, true))
    child.stdout?.on('data', (chunk: Buffer) => out.write(chunk))
    child.stderr?.on('data', (chunk: Buffer) => err.write(chunk))
    child.on('error', (error) => {
      this.#line(messageOf(error), true)
      if (child.pid === undefined) this.#over(child, 'cannot be started', ended)
    })
    // 'close' comes after 'exit', once everything the process wrote has been read.
    child.once('close', (code, signal) => {
      out.end()
      err.end()
      this.#over(
        child,
        signal === null ? `ended with code ${code ?? 'unknown'}` : `was ended by ${signal}`,
        ended,
      )
    })
    this.#listener.changed()
  }

  #over(child: ChildProcess, reason: string, ended: Deferred<string>): void {
    if (this.#child === child) this.#child = undefined
    this.#ready = false
    ended.resolve(reason)
    this.#listener.changed()
  }

  #line(text: string, fromStderr: boolean): void {
    this.#lastLines.push(text)
    if (this.#lastLines.length > lastLinesMax) this.#lastLines.shift()
    this.#listener.line(this.plan.name, text, fromStderr)
  }

  async #untilReady(mayWait: () => boolean): Promise<void> {
    const { host, port, name, readyPath } = this.plan
    let limit = this.#clock.monotonic() + this.#times.startTimeoutMs
    const exit = this.#exit
    for (;;) {
      const reason = await Promise.race([exit, answersOk({ host, port, path: readyPath }, 1000)])
      if (typeof reason === 'string') throw new ProcessStartError(name, reason, this.#lastLines, true)
      if (reason) break
      if (mayWait()) limit = this.#clock.monotonic() + this.#times.startTimeoutMs
      if (this.#clock.monotonic() > limit) {
        throw new ProcessStartError(
          name,
          `was not ready within ${this.#times.startTimeoutMs} ms`,
          this.#lastLines,
        )
      }
      if (this.#isStopping()) throw new ProcessStartError(name, 'was stopped', this.#lastLines)
      await delay(readyPollMs)
    }
    this.#ready = true
  }

  /** Starts the process again whenever it ends, until it is to stop. */
  async #keep(firstStartedAt: number): Promise<void> {
    let startedAt = firstStartedAt
    for (;;) {
      const reason = await this.#exit
      if (this.#isStopping()) return
      const delayMs = this.#restartDelay.next(this.#clock.monotonic() - startedAt)
      this.#listener.ended(this.plan.name, reason, delayMs)
      await delay(delayMs, this.#stopping.signal).catch(() => undefined)
      if (this.#isStopping()) return
      startedAt = this.#clock.monotonic()
      this.#launch()
      await this.#recover()
    }
  }

  /** A restarted process may take its time: it waits for others, and is not given up. */
  async #recover(): Promise<void> {
    const { host, port, name, readyPath } = this.plan
    const child = this.#child
    const exit = this.#exit.then(() => false)
    while (this.#child === child && !this.#isStopping()) {
      if (await Promise.race([exit, answersOk({ host, port, path: readyPath }, 1000)])) {
        this.#ready = true
        this.#listener.recovered(name)
        return
      }
      await Promise.race([exit, delay(readyPollMs)])
    }
  }
}
