import type { CommandContext, MachineCapture, NodeMachine } from '../src/node/node-machine.js'

/** Replicates a list of texts; a command appends one, and its result is the new length. */
export class ListMachine implements NodeMachine {
  texts: string[] = []
  readonly times: number[] = []
  restored = 0

  apply(payload: Uint8Array, context: CommandContext): number {
    this.texts.push(new TextDecoder().decode(payload))
    this.times.push(context.timeMs)
    return this.texts.length
  }

  capture(): MachineCapture {
    const json = new TextEncoder().encode(JSON.stringify(this.texts))
    return {
      async *chunks() {
        for (let at = 0; at < json.length; at += 1000) {
          await Promise.resolve()
          yield json.subarray(at, at + 1000)
        }
      },
      release: () => undefined,
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = []
    for await (const chunk of chunks) parts.push(Uint8Array.from(chunk))
    this.texts = JSON.parse(Buffer.concat(parts).toString()) as string[]
    this.restored += 1
  }
}
