import { StringDecoder } from 'node:string_decoder'

/** Cuts a stream of bytes into lines. A line over the bound is cut there and goes on as another. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8')
  readonly #onLine: (line: string) => void
  readonly #charactersMax: number
  #partial = ''

  constructor(onLine: (line: string) => void, charactersMax = 1_000_000) {
    this.#onLine = onLine
    this.#charactersMax = charactersMax
  }

  write(chunk: Uint8Array): void {
    this.#take(this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)))
  }

  /** The stream ended: what is left is a line too. */
  end(): void {
    this.#take(this.#decoder.end())
    if (this.#partial !== '') this.#emit(this.#partial)
    this.#partial = ''
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split('\n')
    this.#partial = lines.pop() ?? ''
    for (const line of lines) this.#emit(line)
    while (this.#partial.length > this.#charactersMax) {
      this.#emit(this.#partial.slice(0, this.#charactersMax))
      this.#partial = this.#partial.slice(this.#charactersMax)
    }
  }

  #emit(line: string): void {
    const text = line.endsWith('\r') ? line.slice(0, -1) : line
    if (text !== '') this.#onLine(text)
  }
}
