import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { ClosedLoop, type LoadShape, type LoadTarget } from './closed-loop.js'
import type { MemberLoadReport } from './member-calls.js'
import type { ModelCalls } from './model-calls.js'
import { ModelLog } from './model-log.js'

/*
 * Frame: size u32, little endian | that many bytes. Each is a message; they are numbered from 1 as they
 * come. The answer is the number of the last message that is durable, f64, little endian.
 */
const HEADER_BYTES = 4
const ANSWER_BYTES = 8

/**
 * The simplest replication that could work: no terms, no votes, no log that anybody could read. The
 * leader writes and the followers write, at the same time; two of three have it, and it is committed.
 */
export class ModelNode implements ModelCalls, LoadTarget {
  #log: ModelLog | undefined
  #followers: readonly Socket[] = []
  /** Of the leader and of the followers: everything up to here is durable. */
  readonly #durable: number[] = []
  #load: ClosedLoop | undefined
  #sequence = 0
  #committed = 0
  #unsent: Uint8Array[] = []
  #isSending = false

  async follow(path: string): Promise<number> {
    const server = createServer({ noDelay: true }, (socket) => this.#serve(socket, path))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  async lead(path: string, ports: readonly number[]): Promise<void> {
    this.#log = new ModelLog(path, (sequence) => this.#durableUpTo(0, sequence))
    this.#durable.push(0)
    this.#followers = await Promise.all(
      ports.map(async (port, i) => {
        const socket = connect({ host: '127.0.0.1', port, noDelay: true })
        await once(socket, 'connect')
        this.#durable.push(0)
        let rest: Uint8Array = new Uint8Array(0)
        socket.on('data', (chunk: Buffer) => {
          const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
          const end = bytes.length - (bytes.length % ANSWER_BYTES)
          rest = bytes.subarray(end)
          if (end > 0) this.#durableUpTo(i + 1, bytes.readDoubleLE(end - ANSWER_BYTES))
        })
        return socket
      }),
    )
  }

  async load(shape: LoadShape): Promise<MemberLoadReport> {
    const log = this.#log!
    const disk = { reading: log.read() }
    const loop = new ClosedLoop([this], shape, {
      onMeasuring: () => log.clear(),
      onMeasured: () => (disk.reading = log.read()),
    })
    this.#load = loop
    return { ...(await loop.run()), disk: disk.reading }
  }

  propose(command: Uint8Array): number {
    const header = Buffer.allocUnsafe(HEADER_BYTES)
    header.writeUInt32LE(command.length)
    this.#unsent.push(header, command)
    if (!this.#isSending) {
      this.#isSending = true
      queueMicrotask(this.#send)
    }
    return ++this.#sequence
  }

  readonly #send = (): void => {
    this.#isSending = false
    const bytes = Buffer.concat(this.#unsent)
    this.#unsent = []
    for (const follower of this.#followers) follower.write(bytes)
    this.#log!.append(bytes, this.#sequence)
  }

  #durableUpTo(node: number, sequence: number): void {
    this.#durable[node] = sequence
    const majority = [...this.#durable].sort((a, b) => b - a)[Math.floor(this.#durable.length / 2)]!
    while (this.#committed < majority) this.#load?.committed(0, ++this.#committed)
  }

  #serve(socket: Socket, path: string): void {
    const log = new ModelLog(path, (sequence) => {
      const answer = Buffer.allocUnsafe(ANSWER_BYTES)
      answer.writeDoubleLE(sequence)
      socket.write(answer)
    })
    let sequence = 0
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let end = 0
      while (bytes.length - end >= HEADER_BYTES) {
        const next = end + HEADER_BYTES + bytes.readUInt32LE(end)
        if (next > bytes.length) break
        sequence++
        end = next
      }
      rest = bytes.subarray(end)
      if (end > 0) log.append(bytes.subarray(0, end), sequence)
    })
    socket.on('close', () => log.close())
  }
}
