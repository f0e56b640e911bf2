import { decodeJson, encodeJson } from '@sluice/contracts'
import {
  type MetadataCommand,
  type MetadataResult,
  MetadataState,
  parseMetadataCommand,
} from '@sluice/metadata'

/** The replicated metadata in memory: one log, every command committed at once. */
export class FakeMetadata {
  readonly state = new MetadataState()
  readonly log: (readonly [number, MetadataCommand])[] = []
  readonly #waiters = new Set<() => void>()
  #index = 0
  /** Followers that ask from before it get a snapshot. */
  compactedIndex = 0

  get version(): number {
    return this.#index
  }

  propose(command: MetadataCommand): { readonly version: number; readonly result: MetadataResult } {
    const { result } = this.state.apply(++this.#index, command)
    this.log.push([this.#index, command])
    this.#wake()
    return { version: this.#index, result }
  }

  /** An entry that is no command, such as a new leader's first. */
  skip(): void {
    this.#index++
    this.#wake()
  }

  answerPropose(payload: Uint8Array): Uint8Array {
    return encodeJson(this.propose(parseMetadataCommand(decodeJson(payload))))
  }

  answerVersion(): Uint8Array {
    return encodeJson({ version: this.#index })
  }

  async answerFollow(payload: Uint8Array): Promise<Uint8Array> {
    const { from, waitMs } = decodeJson(payload) as { from: number; waitMs: number }
    if (this.#index <= from) await this.#news(waitMs)
    const isOld = from < this.compactedIndex
    return encodeJson({
      ...(isOld ? { snapshot: this.state.toJSON() } : {}),
      entries: isOld ? [] : this.log.filter(([index]) => index > from),
      version: this.#index,
    })
  }

  /** Lets those go who wait for news. */
  close(): void {
    this.#wake()
  }

  #news(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, waitMs)
      this.#waiters.add(wake)
    })
  }

  #wake(): void {
    for (const wake of this.#waiters) wake()
  }
}
