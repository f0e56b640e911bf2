import { RpcError } from './rpc-error.js'

interface Pending {
  readonly deadline: number
  readonly resolve: (payload: Uint8Array) => void
  readonly reject: (error: Error) => void
  /** False while it waits for a connection: then the peer has certainly not acted on it. */
  sent: boolean
}

const SWEEP_MS = 25

/** Requests that await their answers, or a connection to be sent on; one timer for all of them. */
export class PendingRequests {
  readonly #byId = new Map<number, Pending>()
  #nextId = 1
  #sweeper: NodeJS.Timeout | undefined

  get size(): number {
    return this.#byId.size
  }

  /** A free id, then the promise of its answer. `sent` is false when it has to wait for a connection. */
  add(
    timeoutMs: number,
    { sent }: { readonly sent: boolean },
  ): { readonly id: number; readonly answer: Promise<Uint8Array> } {
    while (this.#byId.has(this.#nextId)) this.#nextId = (this.#nextId + 1) >>> 0
    const id = this.#nextId
    this.#nextId = (this.#nextId + 1) >>> 0
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      this.#byId.set(id, { deadline: performance.now() + timeoutMs, resolve, reject, sent })
    })
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS)
    return { id, answer }
  }

  /** It is about to be sent. False: its caller does not wait for it any more. */
  markSent(id: number): boolean {
    const pending = this.#byId.get(id)
    if (pending !== undefined) pending.sent = true
    return pending !== undefined
  }

  /** An answer nobody waits for any more is dropped. */
  resolve(id: number, payload: Uint8Array): void {
    this.#take(id)?.resolve(payload)
  }

  reject(id: number, error: Error): void {
    this.#take(id)?.reject(error)
  }

  /** Rejects all of them, each with the error for what may have become of it. */
  rejectAll(errorOf: (outcome: 'no' | 'unknown') => Error): void {
    const pending = [...this.#byId.values()]
    this.#byId.clear()
    this.#rest()
    for (const request of pending) request.reject(errorOf(request.sent ? 'unknown' : 'no'))
  }

  #take(id: number): Pending | undefined {
    const pending = this.#byId.get(id)
    this.#byId.delete(id)
    this.#rest()
    return pending
  }

  #sweep(): void {
    const now = performance.now()
    for (const [id, request] of this.#byId)
      if (request.deadline <= now)
        this.reject(
          id,
          request.sent
            ? new RpcError('TIMEOUT', 'no answer in time', { outcome: 'unknown' })
            : new RpcError('CONNECT_FAILED', 'no connection in time', { outcome: 'no' }),
        )
  }

  #rest(): void {
    if (this.#byId.size > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}
