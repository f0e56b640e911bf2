import { closeSync, fstatSync, openSync, readSync, renameSync, statSync } from 'node:fs'

/** A log that was larger than this at the start becomes `<name>.1`. */
const LOG_BYTES_MAX = 16 * 1024 * 1024
const TAIL_BYTES = 4000

/** The server's own log, which it writes to directly: it neither waits for us nor needs us. */
export class ServerLog {
  readonly path: string
  readonly descriptor: number
  readonly #start: number
  #closed = false

  constructor(path: string) {
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    if (size > LOG_BYTES_MAX) renameSync(path, `${path}.1`)
    this.path = path
    this.descriptor = openSync(path, 'a+', 0o640)
    this.#start = fstatSync(this.descriptor).size
  }

  /** The end of what was written since this was opened. */
  tail(): string {
    const size = fstatSync(this.descriptor).size
    const from = Math.max(this.#start, size - TAIL_BYTES)
    const bytes = Buffer.alloc(Math.max(0, size - from))
    const count = readSync(this.descriptor, bytes, 0, bytes.length, from)
    return bytes.toString('utf8', 0, count).trim()
  }

  close(): void {
    if (!this.#closed) closeSync(this.descriptor)
    this.#closed = true
  }
}
