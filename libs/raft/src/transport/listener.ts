import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { delay, toError } from '@sluice/foundation'
import { abortable } from './abortable.js'
import { remoteAddressOf } from './open-sockets.js'
import { type TransportTls, tlsMaterial } from './tls.js'
import { RefusedError, TransportError } from './transport-error.js'
import type { PeerAddress, TransportLimits, TransportTimings } from './transport-options.js'

/** Of these another attempt may end better: the address may become free, appear, or resolve. */
const TRANSIENT: ReadonlySet<unknown> = new Set(['EADDRINUSE', 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN'])

interface ListenerParts {
  readonly tls: TransportTls | undefined
  readonly timings: TransportTimings
  readonly limits: TransportLimits
  /** Every connection, before TLS. */
  readonly onRaw: (socket: Socket) => void
  /** A connection that can be talked on. */
  readonly onSocket: (socket: Socket) => void
  /** A connection that did not get through TLS. */
  readonly onTlsError: (error: RefusedError, remoteAddress: string) => void
}

/** Takes connections, by TCP or TLS. */
export class Listener {
  readonly #parts: ListenerParts
  #server: net.Server | undefined
  /** Connections whose TLS handshake is not over, by their other end, in the order in which they came. */
  readonly #beforeTls = new Map<string, Socket>()

  constructor(parts: ListenerParts) {
    this.#parts = parts
  }

  /**
   * Listens, and tries again while the address is in use.
   * @returns where it listens
   * @throws TransportError BIND_FAILED, or the signal's reason
   */
  async listen(
    at: { readonly host?: string; readonly port: number },
    signal?: AbortSignal,
  ): Promise<PeerAddress> {
    const { bindRetryMs, bindRetriesMax } = this.#parts.timings
    for (let retries = 0; ; retries++) {
      signal?.throwIfAborted()
      try {
        return await abortable(this.#listenOnce(at), signal)
      } catch (cause) {
        if (this.#server !== undefined) shut(this.#server, () => undefined)
        this.#server = undefined
        signal?.throwIfAborted()
        const isLast = bindRetriesMax > 0 && retries >= bindRetriesMax
        if (isLast || !TRANSIENT.has((cause as NodeJS.ErrnoException).code))
          throw new TransportError(
            'BIND_FAILED',
            `cannot listen on ${at.host ?? '*'}:${at.port} after ${retries + 1} attempts: ${toError(cause).message}`,
            { cause },
          )
      }
      await delay(bindRetryMs, signal)
    }
  }

  /** Takes no more connections; those that are open are their owners'. Resolves when all of them are closed. */
  close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    return new Promise((resolve) => {
      if (server === undefined) resolve()
      else shut(server, resolve)
    })
  }

  #listenOnce(at: { readonly host?: string; readonly port: number }): Promise<PeerAddress> {
    const server = this.#makeServer()
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port: at.port, ...(at.host === undefined ? {} : { host: at.host }) }, () => {
        server.off('error', reject)
        // A connection that could not be accepted is that connection's trouble alone.
        server.on('error', () => undefined)
        const { address, port } = server.address() as net.AddressInfo
        resolve({ host: address, port })
      })
    })
  }

  #makeServer(): net.Server {
    const { tls: material, timings, onRaw, onSocket, onTlsError } = this.#parts
    const options = {
      noDelay: true,
      keepAlive: timings.tcpKeepAliveMs > 0,
      keepAliveInitialDelay: timings.tcpKeepAliveMs,
    }
    if (material === undefined)
      return net.createServer(options, (socket) => {
        onRaw(socket)
        onSocket(socket)
      })
    const server = tls.createServer({
      ...options,
      ...tlsMaterial(material),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: timings.handshakeTimeoutMs,
    })
    server.on('connection', (socket: Socket) => this.#takeBeforeTls(socket))
    server.on('secureConnection', (socket) => {
      this.#beforeTls.delete(remoteAddressOf(socket))
      onSocket(socket)
    })
    server.on('tlsClientError', ({ message }: Error, socket: Socket) => {
      const from = remoteAddressOf(socket)
      // After a handshake that took too long it would stay open.
      socket.destroy()
      onTlsError(new RefusedError({ code: 'TLS', message }, 'self'), from)
    })
    return server
  }

  #takeBeforeTls(socket: Socket): void {
    const from = remoteAddressOf(socket)
    const [oldest] = this.#beforeTls
    if (oldest !== undefined && this.#beforeTls.size >= this.#parts.limits.handshakesMax) {
      this.#beforeTls.delete(oldest[0])
      oldest[1].destroy()
    }
    this.#beforeTls.set(from, socket)
    socket.once('close', () => this.#beforeTls.delete(from))
    this.#parts.onRaw(socket)
  }
}

/** Closes a server in whatever state; one that is still about to listen closes as soon as it does. */
function shut(server: net.Server, closed: () => void): void {
  server.on('error', () => undefined)
  server.once('listening', () => server.close())
  server.close(closed)
}
