import type { Socket } from 'node:net'

/** `ip:port` of the other end. */
export function remoteAddressOf(socket: Socket): string {
  return `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`
}

/** Every socket of a transport, whatever state it is in, so that closing leaves none behind. */
export class OpenSockets {
  readonly #sockets = new Set<Socket>()
  #onEmpty: (() => void)[] = []

  readonly add = (socket: Socket): void => {
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      if (this.#sockets.size > 0) return
      for (const resolve of this.#onEmpty) resolve()
      this.#onEmpty = []
    })
  }

  /** Resolves when all are closed; those that still are open after the grace are destroyed. */
  async closed(graceMs: number): Promise<void> {
    if (this.#sockets.size === 0) return
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, graceMs)
    await new Promise<void>((resolve) => this.#onEmpty.push(resolve))
    clearTimeout(timer)
  }
}
