import type { SyncCommandSink, SyncMachine } from '../src/node/sync-machine.js'
import type { CommandContext } from '../src/node/node-machine.js'
import { ListMachine } from './node-list-machine.js'

/** A list of texts with a code version, as the objects of a node. */
export class SyncList extends ListMachine implements SyncMachine {
  readonly selfCodeVersion = 3
  codeVersion = 0
  onCodeVersionChanged: ((version: number, before: number) => void) | undefined
  #sink: SyncCommandSink | undefined

  attach(sink: SyncCommandSink): void {
    this.#sink = sink
  }

  override apply(payload: Uint8Array, context: CommandContext): number {
    const text = new TextDecoder().decode(payload)
    if (!text.startsWith('version:')) return super.apply(payload, context)
    const before = this.codeVersion
    this.codeVersion = Number(text.slice('version:'.length))
    this.onCodeVersionChanged?.(this.codeVersion, before)
    return 0
  }

  async append(text: string, options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    return (await this.#sink!.submit(new TextEncoder().encode(text), options)) as number
  }

  async setCodeVersion(version: number): Promise<void> {
    if (version > this.selfCodeVersion) throw new RangeError(`version ${version} is unknown here`)
    await this.append(`version:${version}`)
  }
}
