import { TransportError } from './transport-error.js'

interface Pending {
  readonly deadline: number
  readonly resolve: (payload: Uint8Array) => void
  readonly reject: (error: Error) => void
}

const SWEEP_MS = 25

/** Requests of one connection that await their answers; one timer for all of them. */
export class PendingRequests {
  readonly #byId = new Map<number, Pending>()
  readonly #now: () => number
  #nextId = 1
  #sweeper: NodeJS.Timeout | undefined

  /** @param now monotonic, milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  get size(): number {
    return this.#byId.size
  }

  /** A free id, and the promise of its answer. */
  add(timeoutMs: number): { readonly id: number; readonly answer: Promise<Uint8Array> } {
    while (this.#byId.has(this.#nextId)) this.#nextId = (this.#nextId + 1) >>> 0
    const id = this.#nextId
    this.#nextId = (id + 1) >>> 0
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      this.#byId.set(id, { deadline: this.#now() + timeoutMs, resolve, reject })
    })
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS)
    return { id, answer }
  }

  /** An answer that nobody waits for any more is dropped. */
  resolve(id: number, payload: Uint8Array): void {
    this.#take(id)?.resolve(payload)
  }

  reject(id: number, error: Error): void {
    this.#take(id)?.reject(error)
  }

  rejectAll(error: Error): void {
    const pending = [...this.#byId.values()]
    this.#byId.clear()
    this.#rest()
    for (const request of pending) request.reject(error)
  }

  #take(id: number): Pending | undefined {
    const pending = this.#byId.get(id)
    this.#byId.delete(id)
    this.#rest()
    return pending
  }

  #sweep(): void {
    const now = this.#now()
    for (const [id, request] of this.#byId)
      if (request.deadline <= now)
        this.reject(id, new TransportError('TIMEOUT', 'no answer in time', { outcome: 'unknown' }))
  }

  #rest(): void {
    if (this.#byId.size > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}
