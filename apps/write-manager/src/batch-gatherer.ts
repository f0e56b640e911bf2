import type { EarlierRun } from '@sluice/contracts'
import { BrokerError, encodeRecordBatch, type MessageRun, type RecordData, withRuns } from '@sluice/domain'
import { type Clock, invariant, toError } from '@sluice/foundation'
import { BatchSequence } from './batch-sequence.js'
import type { ByteBudget } from './byte-budget.js'

export interface GathererLimits {
  /** Of the records in one batch; a single record that is larger travels alone. */
  readonly batchBytesMax: number
  readonly batchRecordsMax: number
  /** Of what waits for one partition, on its way included. */
  readonly queueBytesMax: number
  /** From the call to its answer, milliseconds. */
  readonly timeoutMs: number
}

/**
 * Sends one batch to the partition's leader and waits until it is stored, or until it is known that nothing of it
 * is, because the runs at these places of its list were sent before.
 */
export type SendBatch = (
  batch: Uint8Array,
  options: { readonly timeoutMs: number },
) => Promise<{ readonly baseOffset: number } | { readonly repeated: ReadonlyMap<number, EarlierRun> }>

/** What identifies records when they are sent again. */
export interface RunIdentity {
  /** 16 bytes as 32 hex digits. */
  readonly id: string
  /** Timestamp of those that bring none. Milliseconds since 1970. */
  readonly at: number
}

/** Where records are. */
export interface Stored {
  readonly baseOffset: number
  /** Set when an earlier call has stored them: the timestamp that those got which brought none. */
  readonly earlierAt?: number
}

/** One call's records for this partition: they stay together and in order. */
interface Part {
  readonly records: readonly RecordData[]
  readonly sizeBytes: number
  readonly run: RunIdentity | undefined
  /** Monotonic milliseconds. */
  readonly deadline: number
  answered: boolean
  readonly resolve: (stored: Stored) => void
  readonly reject: (error: Error) => void
}

interface Flight {
  readonly parts: readonly Part[]
  readonly since: number
}

/** A partition whose batch is on its way for so long, or failed so recently, takes no new unkeyed messages. */
const STALL_MS = 1000

/**
 * Gathers what arrives for one partition and sends it batch by batch, never two at once: what arrives
 * while one is on its way, or in the same turn of the event loop, travels together in the next.
 */
export class BatchGatherer {
  readonly #name: string
  readonly #send: SendBatch
  readonly #producerId: bigint
  readonly #sequence = new BatchSequence()
  readonly #clock: Clock
  readonly #budget: ByteBudget
  readonly #limits: GathererLimits
  #queue: Part[] = []
  #queuedBytes = 0
  #flight: Flight | undefined
  #scheduled = false
  #failedAt = -Infinity
  #refusal: BrokerError | undefined

  constructor(parts: {
    /** Of the partition, such as `orders.1`. */
    readonly name: string
    readonly send: SendBatch
    /** Names this process to the brokers, which store each of its batches once. */
    readonly producerId: bigint
    readonly clock: Clock
    readonly budget: ByteBudget
    readonly limits: GathererLimits
  }) {
    this.#name = parts.name
    this.#send = parts.send
    this.#producerId = parts.producerId
    this.#clock = parts.clock
    this.#budget = parts.budget
    this.#limits = parts.limits
  }

  /** True while the partition seems unable to store: other partitions are a better choice. */
  get stalled(): boolean {
    const now = this.#clock.monotonic()
    return (
      now - this.#failedAt < STALL_MS || (this.#flight !== undefined && now - this.#flight.since > STALL_MS)
    )
  }

  /**
   * Resolves with the offset of the first record once all are stored, in one batch.
   * @param run when it was sent before under its id, nothing is stored and the earlier offset is given
   * @param records not changed afterwards by the caller; within the limits of a batch
   * @throws BrokerError OVERLOADED, TIMEOUT (its `outcome` says whether they may have been stored), and
   * what the partition's leader refuses with
   */
  add(records: readonly RecordData[], sizeBytes: number, run?: RunIdentity): Promise<Stored> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal)
    const isFull = this.#queuedBytes > 0 && this.#queuedBytes + sizeBytes > this.#limits.queueBytesMax
    if (isFull || !this.#budget.take(sizeBytes))
      return Promise.reject(
        new BrokerError(
          'OVERLOADED',
          isFull
            ? `${this.#queuedBytes} bytes wait for ${this.#name} already`
            : `${this.#budget.usedBytes} bytes wait in this process already`,
          { outcome: 'no' },
        ),
      )
    this.#queuedBytes += sizeBytes
    return new Promise((resolve, reject) => {
      const deadline = this.#clock.monotonic() + this.#limits.timeoutMs
      this.#queue.push({ records, sizeBytes, run, deadline, answered: false, resolve, reject })
      this.#schedule()
    })
  }

  /** Answers whoever waited too long. A batch on its way goes on for those who still wait. */
  expire(): void {
    const now = this.#clock.monotonic()
    let expired = 0
    while (expired < this.#queue.length && this.#queue[expired]!.deadline <= now) expired++
    for (const part of this.#queue.splice(0, expired)) {
      this.#release(part)
      part.reject(
        new BrokerError(
          'TIMEOUT',
          `waited ${this.#limits.timeoutMs} ms for earlier messages to ${this.#name}`,
          {
            outcome: 'no',
          },
        ),
      )
    }
    for (const part of this.#flight?.parts ?? []) {
      if (part.deadline > now) break
      if (part.answered) continue
      part.answered = true
      part.reject(
        new BrokerError(
          'TIMEOUT',
          `${this.#name} did not confirm within ${this.#limits.timeoutMs} ms; the messages may be stored yet`,
          { outcome: 'unknown' },
        ),
      )
    }
  }

  /** Refuses what waits; what is on its way was given up by the caller already. */
  close(): void {
    this.#refuseAll(new BrokerError('SHUTTING_DOWN', 'this process is stopping', { outcome: 'no' }))
  }

  /** Refuses what waits and whatever comes: the partition does not exist any more. */
  refuse(): void {
    this.#refuseAll(
      new BrokerError('TOPIC_NOT_FOUND', `the topic of ${this.#name} was deleted`, { outcome: 'no' }),
    )
  }

  #refuseAll(refusal: BrokerError): void {
    this.#refusal = refusal
    for (const part of this.#queue.splice(0)) {
      this.#release(part)
      part.reject(refusal)
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#flight !== undefined || this.#queue.length === 0) return
    this.#scheduled = true
    // Behind the sockets of this turn: everything they bring travels in this batch.
    setImmediate(() => {
      this.#scheduled = false
      this.#sendNext()
    })
  }

  #sendNext(): void {
    const parts = this.#takeBatch()
    if (parts.length === 0) return
    const now = this.#clock.monotonic()
    this.#flight = { parts, since: now }
    // Those who wait longest for an answer decide how long it is worth trying.
    const timeoutMs = Math.max(parts[parts.length - 1]!.deadline - now, 1)
    this.#deliver(parts, now + timeoutMs).then(
      () => {
        this.#failedAt = -Infinity
        this.#landed(parts)
      },
      (error: unknown) => {
        this.#failedAt = this.#clock.monotonic()
        const failure = toError(error)
        for (const part of parts) settle(part, () => part.reject(failure))
        this.#landed(parts)
      },
    )
  }

  /** Sends what is not stored yet until all of it is; answers each part when its fate is known. */
  async #deliver(parts: readonly Part[], deadline: number): Promise<void> {
    let open = parts
    while (open.length > 0) {
      const timeoutMs = Math.max(deadline - this.#clock.monotonic(), 1)
      const answer = await this.#send(this.#encode(open), { timeoutMs })
      if (!('repeated' in answer)) {
        let offset = answer.baseOffset
        for (const part of open) {
          settle(part, () => part.resolve({ baseOffset: offset }))
          offset += part.records.length
        }
        return
      }
      const identified = open.filter(({ run }) => run !== undefined)
      const repeated = new Set<Part>()
      for (const [place, earlier] of answer.repeated) {
        const part = identified[place]
        invariant(part !== undefined, 'a repeated run is one of those that were sent')
        repeated.add(part)
        settle(part, () => this.#answerRepeated(part, earlier))
      }
      invariant(repeated.size > 0, 'an answer that stores nothing names what is stored already')
      open = open.filter((part) => !repeated.has(part))
    }
  }

  #encode(parts: readonly Part[]): Uint8Array {
    const runs: MessageRun[] = []
    const records: RecordData[] = []
    for (const { records: own, run } of parts) {
      if (run !== undefined) runs.push({ ...run, first: records.length, count: own.length })
      for (const record of own) records.push(record)
    }
    const number = this.#sequence.take(records.length)
    return encodeRecordBatch({ records: withRuns(records, runs), producerId: this.#producerId, ...number })
  }

  #answerRepeated(part: Part, earlier: EarlierRun): void {
    if (earlier.kind === 'stored') part.resolve({ baseOffset: earlier.baseOffset, earlierAt: earlier.at })
    else
      part.reject(
        new BrokerError(
          'TIMEOUT',
          `a later try of this call has ruled ${this.#name} out, and may have stored the messages elsewhere`,
          { outcome: 'unknown' },
        ),
      )
  }

  #landed(parts: readonly Part[]): void {
    invariant(this.#flight?.parts === parts, 'one batch of a partition is on its way at a time')
    this.#flight = undefined
    for (const part of parts) this.#release(part)
    this.#schedule()
  }

  #takeBatch(): readonly Part[] {
    let count = 0
    let bytes = 0
    let records = 0
    const ids = new Set<string>()
    while (count < this.#queue.length) {
      const part = this.#queue[count]!
      bytes += part.sizeBytes
      records += part.records.length
      if (count > 0 && (bytes > this.#limits.batchBytesMax || records > this.#limits.batchRecordsMax)) break
      // The same messages twice: the second time the partition knows them.
      if (part.run !== undefined && ids.has(part.run.id)) break
      if (part.run !== undefined) ids.add(part.run.id)
      count++
    }
    return this.#queue.splice(0, count)
  }

  #release(part: Part): void {
    this.#queuedBytes -= part.sizeBytes
    this.#budget.giveBack(part.sizeBytes)
  }
}

/** Whoever waited too long was told so already. */
function settle(part: Part, answer: () => void): void {
  if (part.answered) return
  part.answered = true
  answer()
}
