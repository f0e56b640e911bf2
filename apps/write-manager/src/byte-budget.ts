/** Bytes that may be held in this process over all partitions. */
export class ByteBudget {
  readonly bytesMax: number
  #usedBytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** False when there is no room: nothing is taken then. */
  take(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.bytesMax) return false
    this.#usedBytes += bytes
    return true
  }

  giveBack(bytes: number): void {
    this.#usedBytes -= bytes
  }
}
