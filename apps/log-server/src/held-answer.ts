import type { ServerResponse } from 'node:http'
import type { PutOutcome } from './log-node.js'

/** A client gives up when it hears nothing for 5 seconds. Milliseconds. */
const FIRST_BYTE_MS = 4500
const NEXT_BYTE_MS = 2000

/**
 * The answer to a PUT: complete when the entry is stored, and otherwise cut off, because a client takes
 * any complete answer for a success, whatever its status. While nothing is decided, it is kept alive.
 */
export class HeldAnswer {
  readonly #response: ServerResponse
  #timer: NodeJS.Timeout | undefined
  #isSettled = false

  /** @param onGone is called when the client leaves before there is an answer */
  constructor(response: ServerResponse, onGone: () => void) {
    this.#response = response
    this.#timer = setTimeout(() => this.#keepAlive(), FIRST_BYTE_MS)
    response.on('close', () => {
      clearTimeout(this.#timer)
      if (!this.#isSettled) onGone()
    })
  }

  settle(outcome: PutOutcome): void {
    this.#isSettled = true
    clearTimeout(this.#timer)
    if (outcome === 'stored') this.#response.end()
    else this.#response.destroy()
  }

  #keepAlive(): void {
    this.#response.write(' ')
    this.#timer = setTimeout(() => this.#keepAlive(), NEXT_BYTE_MS)
  }
}
