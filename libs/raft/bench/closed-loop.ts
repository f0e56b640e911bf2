import { deferred, invariant } from '@sluice/foundation'
import { Latencies, type PackedLatencies } from './latencies.js'

/** Something that commits commands in the order in which it is given them. */
export interface LoadTarget {
  /** Commits the command later; returns its position, which grows by one with each command of the target. */
  propose(command: Uint8Array): number
}

export interface LoadShape {
  /** Of each target. */
  readonly inFlight: number
  readonly payloadBytes: number
  /** Not measured; the compiler and the disk get going. */
  readonly warmUpMs: number
  readonly measureMs: number
}

/** What was committed within the time that was measured, as it travels between processes. */
export interface LoadReport {
  readonly commits: number
  readonly elapsedMs: number
  readonly latencies: PackedLatencies
  /** Of this process meanwhile, microseconds. */
  readonly cpuUs: number
}

export interface LoadEvents {
  /** The warm-up is over. */
  onMeasuring(): void
  onMeasured(): void
  onFirstCommit?(): void
}

interface Client {
  readonly target: LoadTarget
  /** When the command was given, by the low bits of its position. Milliseconds. */
  readonly startedMs: Float64Array
  /** Those below this are not this load's. */
  firstPosition: number
}

/**
 * Clients in the leader's own process, each with one command in flight: as soon as it is committed and
 * applied, and the turn that did so is over, the client gives the next.
 */
export class ClosedLoop {
  readonly #shape: LoadShape
  readonly #events: LoadEvents
  readonly #clients: Client[]
  readonly #latencies = new Latencies()
  readonly #done = deferred<LoadReport>()
  #ready: Client[] = []
  #isRefilling = false
  #hasCommitted = false
  #inFlight = 0
  #phase: 'idle' | 'warm-up' | 'measuring' | 'draining' | 'failed' = 'idle'
  #measuredFromMs = 0
  #cpuFrom: NodeJS.CpuUsage | undefined
  #report: LoadReport | undefined
  #sequence = 0

  constructor(targets: readonly LoadTarget[], shape: LoadShape, events: LoadEvents) {
    this.#shape = shape
    this.#events = events
    const slots = 2 ** Math.ceil(Math.log2(shape.inFlight + 1))
    this.#clients = targets.map((target) => ({
      target,
      startedMs: new Float64Array(slots),
      firstPosition: Number.POSITIVE_INFINITY,
    }))
  }

  /** Rejects when a target does not take a command. */
  run(): Promise<LoadReport> {
    this.#phase = 'warm-up'
    for (const client of this.#clients)
      for (let i = 0; i < this.#shape.inFlight; i++) this.#ready.push(client)
    this.#refillSoon()
    setTimeout(() => this.#startMeasuring(), this.#shape.warmUpMs)
    return this.#done.promise
  }

  /** Gives no more commands; those in flight need not come back. */
  fail(error: Error): void {
    this.#phase = 'failed'
    this.#done.reject(error)
  }

  /** @param number which of the targets has committed what is at this position */
  committed(number: number, position: number): void {
    const client = this.#clients[number]!
    if (this.#phase === 'failed' || position < client.firstPosition) return
    const startedMs = client.startedMs[position & (client.startedMs.length - 1)]!
    if (!this.#hasCommitted) {
      this.#hasCommitted = true
      this.#events.onFirstCommit?.()
    }
    if (this.#phase === 'measuring') this.#latencies.record(performance.now() - startedMs)
    this.#inFlight--
    if (this.#phase === 'draining') {
      if (this.#inFlight === 0) this.#finish()
      return
    }
    this.#ready.push(client)
    this.#refillSoon()
  }

  #refillSoon(): void {
    if (this.#isRefilling) return
    this.#isRefilling = true
    queueMicrotask(this.#refill)
  }

  readonly #refill = (): void => {
    this.#isRefilling = false
    if (this.#phase === 'draining' || this.#phase === 'failed') return
    const ready = this.#ready
    this.#ready = []
    const nowMs = performance.now()
    try {
      for (const client of ready) this.#give(client, nowMs)
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #give(client: Client, nowMs: number): void {
    const position = client.target.propose(this.#command())
    if (client.firstPosition === Number.POSITIVE_INFINITY) client.firstPosition = position
    client.startedMs[position & (client.startedMs.length - 1)] = nowMs
    this.#inFlight++
  }

  /** Memory of its own, as a command that came from somewhere has. */
  #command(): Uint8Array {
    const command = Buffer.allocUnsafe(this.#shape.payloadBytes)
    const sequence = this.#sequence++
    for (let i = 0; i < 4 && i < command.length; i++) command[i] = sequence >>> (8 * i)
    return command
  }

  #startMeasuring(): void {
    if (this.#phase !== 'warm-up') return
    this.#phase = 'measuring'
    this.#latencies.clear()
    this.#events.onMeasuring()
    this.#cpuFrom = process.cpuUsage()
    this.#measuredFromMs = performance.now()
    setTimeout(() => this.#stopMeasuring(), this.#shape.measureMs)
  }

  #stopMeasuring(): void {
    if (this.#phase !== 'measuring') return
    const elapsedMs = performance.now() - this.#measuredFromMs
    const { user, system } = process.cpuUsage(this.#cpuFrom)
    this.#phase = 'draining'
    this.#events.onMeasured()
    this.#report = {
      commits: this.#latencies.count,
      elapsedMs,
      latencies: this.#latencies.pack(),
      cpuUs: user + system,
    }
    // What is ready was to be given in this turn's end, and is not any more.
    this.#ready = []
    if (this.#inFlight === 0) this.#finish()
  }

  #finish(): void {
    invariant(this.#report !== undefined, 'a load ends after it was measured')
    this.#done.resolve(this.#report)
  }
}
