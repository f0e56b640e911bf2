import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** A log on disk. Over its bound it is set aside as `<path>.1`, which replaces the one before. */
export class LogFile {
  readonly path: string
  readonly #sizeBytesMax: number
  #file: number | undefined
  #sizeBytes = 0

  constructor(path: string, sizeBytesMax = 64 * 1024 * 1024) {
    this.path = path
    this.#sizeBytesMax = sizeBytesMax
  }

  append(line: string): void {
    const bytes = Buffer.from(`${line}\n`)
    if (this.#file !== undefined && this.#sizeBytes + bytes.length > this.#sizeBytesMax) this.#setAside()
    this.#file ??= this.#open()
    this.#sizeBytes += writeSync(this.#file, bytes)
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  #open(): number {
    mkdirSync(dirname(this.path), { recursive: true })
    const file = openSync(this.path, 'a')
    this.#sizeBytes = fstatSync(file).size
    return file
  }

  #setAside(): void {
    this.close()
    renameSync(this.path, `${this.path}.1`)
  }
}
