import net from 'node:net'
import { delay, type Random } from '@sluice/foundation'

/** A broker by its id, a manager by its name. */
export type LinkEnd = number | string

/** What happens to bytes on their way from one process to another. */
export type LinkState =
  | { readonly kind: 'open' }
  /** Nothing arrives; what is under way arrives when the link is open again, as TCP has it. */
  | { readonly kind: 'cut' }
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** Each piece may be held up as by a lost packet, or end the connection. */
  | {
      readonly kind: 'lossy'
      readonly stallShare: number
      readonly stallMs: number
      readonly breakShare: number
    }

const OPEN: LinkState = { kind: 'open' }
const RECHECK_MS = 20

/**
 * Stands between the brokers, and between managers and brokers: each ordered pair has a listener of its own,
 * so that bytes from one to the other can be held, slowed or lost without touching those that come back.
 */
export class LinkProxy {
  readonly #servers: net.Server[] = []
  readonly #sockets = new Set<net.Socket>()
  readonly #ports = new Map<string, number>()
  readonly #states = new Map<string, LinkState>()
  readonly #random: Random
  readonly #portOf: (brokerId: number) => number | undefined

  private constructor(random: Random, portOf: (brokerId: number) => number | undefined) {
    this.#random = random
    this.#portOf = portOf
  }

  /**
   * @param portOf where a broker really listens; undefined while it is not known
   * @param managers who connect to brokers too
   */
  static async open(
    brokerIds: readonly number[],
    random: Random,
    portOf: (brokerId: number) => number | undefined,
    managers: readonly string[] = [],
  ): Promise<LinkProxy> {
    const proxy = new LinkProxy(random, portOf)
    for (const from of [...managers, ...brokerIds])
      for (const to of brokerIds) if (from !== to) await proxy.#listen(from, to)
    return proxy
  }

  /** `1>2=40001,…`: where broker 1 has to connect to instead of to broker 2. */
  get table(): string {
    return Array.from(this.#ports, ([link, port]) => `${link}=${port}`).join(',')
  }

  /** For bytes from one end to another; what comes back is the other pair. */
  set(from: LinkEnd, to: LinkEnd, state: LinkState): void {
    this.#states.set(name(from, to), state)
  }

  openAll(): void {
    this.#states.clear()
  }

  async close(): Promise<void> {
    this.openAll()
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }

  async #listen(from: LinkEnd, to: number): Promise<void> {
    const server = net.createServer({ allowHalfOpen: false }, (near) => this.#accept(near, from, to))
    this.#servers.push(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    this.#ports.set(name(from, to), (server.address() as net.AddressInfo).port)
  }

  #accept(near: net.Socket, from: LinkEnd, to: number): void {
    const port = this.#portOf(to)
    if (port === undefined) {
      near.destroy()
      return
    }
    const far = net.connect({ host: '127.0.0.1', port, noDelay: true })
    near.setNoDelay(true)
    for (const socket of [near, far]) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    void this.#carry(near, far, name(from, to))
    void this.#carry(far, near, name(to, from))
  }

  async #carry(source: net.Socket, sink: net.Socket, link: string): Promise<void> {
    try {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        if (!(await this.#passes(link, source))) break
        if (sink.destroyed) break
        if (!sink.write(chunk)) await drained(sink)
      }
    } catch {
      // One side is gone, and the other follows it.
    }
    sink.destroy()
  }

  /** Resolves when a piece may go on; false when the connection is to break. */
  async #passes(link: string, source: net.Socket): Promise<boolean> {
    let state = this.#states.get(link) ?? OPEN
    while (state.kind === 'cut' && !source.destroyed) {
      await delay(RECHECK_MS)
      state = this.#states.get(link) ?? OPEN
    }
    if (state.kind === 'slow') await delay(state.delayMs)
    if (state.kind === 'lossy') {
      const chance = this.#random.next()
      if (chance < state.breakShare) return false
      if (chance < state.breakShare + state.stallShare) await delay(state.stallMs)
    }
    return true
  }
}

function name(from: LinkEnd, to: LinkEnd): string {
  return `${from}>${to}`
}

function drained(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve)
    socket.once('close', resolve)
  })
}
