import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { type Answer, defectOf, isRefusal, passedOnHeaders } from './answer.js'
import { classify, type UpstreamFailure } from './upstream-failure.js'

/** Told once how an attempt ended, and never after it was abandoned. */
export interface AttemptListener {
  answered(answer: Answer): void
  failed(failure: UpstreamFailure): void
}

/**
 * One try of one call at one manager: gathers the whole answer, so that half of one never reaches the
 * caller, and tells how the try ended. The answer is not parsed.
 */
export class Attempt implements Dispatcher.DispatchHandler {
  readonly #address: string
  readonly #answerBytesMax: number
  readonly #listener: AttemptListener
  #controller: Dispatcher.DispatchController | undefined
  #sent = false
  #ended = false
  #status = 0
  #headers: IncomingHttpHeaders | undefined
  #first: Buffer | undefined
  #rest: Buffer[] | undefined
  #sizeBytes = 0

  constructor(address: string, answerBytesMax: number, listener: AttemptListener) {
    this.#address = address
    this.#answerBytesMax = answerBytesMax
    this.#listener = listener
  }

  /** True once the request may have reached the manager. */
  get sent(): boolean {
    return this.#sent
  }

  /** Ends the try without telling the listener; a request on the wire is cut off. */
  abandon(reason: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#controller?.abort(reason)
  }

  /** Ends the try and tells the listener: the manager does not react any more, though its connection holds. */
  lose(reason: string): void {
    const kind = this.#sent ? 'lost' : 'refused'
    this.#fail({ kind, address: this.#address, reason })
    this.#controller?.abort(new Error(reason))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#ended) controller.abort(new Error('the call was abandoned before it was sent'))
    else this.#sent = true
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#sizeBytes += chunk.length
    if (this.#sizeBytes > this.#answerBytesMax) {
      this.#fail({
        kind: 'too-large',
        address: this.#address,
        reason: `answered with more than the ${this.#answerBytesMax} bytes that may be passed on`,
      })
      this.#controller?.abort(new Error('the answer is too large'))
      return
    }
    if (this.#first === undefined) this.#first = chunk
    else (this.#rest ??= []).push(chunk)
  }

  onResponseEnd(): void {
    if (this.#ended) return
    const first = this.#first ?? Buffer.alloc(0)
    const body = this.#rest === undefined ? first : Buffer.concat([first, ...this.#rest])
    const headers = this.#headers ?? {}
    const defect = defectOf(headers['content-type'], body)
    if (defect !== undefined) {
      const kind = body.length === 0 ? 'empty' : 'broken'
      const reason = this.#status >= 400 ? `${defect}, with HTTP error ${this.#status}` : defect
      this.#fail({ kind, address: this.#address, reason })
      return
    }
    if (isRefusal(this.#status, body)) {
      this.#fail({
        kind: 'refused',
        address: this.#address,
        reason: `is stopping (HTTP error ${this.#status})`,
      })
      return
    }
    this.#ended = true
    this.#listener.answered({ status: this.#status, headers: passedOnHeaders(headers), body })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(classify(error, this.#address, { sent: this.#sent, answered: this.#headers !== undefined }))
  }

  #fail(failure: UpstreamFailure): void {
    if (this.#ended) return
    this.#ended = true
    this.#listener.failed(failure)
  }
}
