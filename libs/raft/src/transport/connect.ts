import net, { isIP, type Socket } from 'node:net'
import tls from 'node:tls'
import { toError } from '@sluice/foundation'
import { abortable } from './abortable.js'
import type { NameCache } from './name-cache.js'
import { certificateMistake, type TransportTls, tlsMaterial } from './tls.js'
import { RefusedError, TransportError } from './transport-error.js'
import type { PeerAddress, TransportTimings } from './transport-options.js'

export interface ConnectParts {
  readonly names: NameCache
  readonly tls: TransportTls | undefined
  readonly timings: TransportTimings
  /** Told of every socket as soon as it is made. */
  readonly onSocket: (socket: Socket) => void
}

/**
 * A socket to an address, by TCP or TLS, paused. The addresses of a name are tried in turn, one for each attempt.
 *
 * @param attempt number of the attempt, from 0
 * @param signal ends the attempt
 * @throws TransportError CONNECT_FAILED, RefusedError CERTIFICATE, or the signal's reason
 */
export async function connect(
  to: PeerAddress,
  attempt: number,
  parts: ConnectParts,
  signal: AbortSignal,
): Promise<Socket> {
  const addresses = await abortable(parts.names.resolve(to.host), signal)
  const { address } = addresses[attempt % addresses.length]!
  signal.throwIfAborted()
  const socket =
    parts.tls === undefined ? openTcp(to, address, parts) : openTls(to, address, parts, parts.tls)
  parts.onSocket(socket)
  try {
    await connected(socket, parts.tls === undefined ? 'connect' : 'secureConnect', signal)
    return socket
  } catch (error) {
    socket.destroy()
    if (error instanceof RefusedError) throw error
    parts.names.doubt(to.host)
    signal.throwIfAborted()
    const untrusted = socket instanceof tls.TLSSocket ? (socket.authorizationError as Error | null) : null
    if (untrusted) throw new RefusedError({ code: 'TLS', message: toError(error).message }, 'self')
    throw new TransportError(
      'CONNECT_FAILED',
      `cannot connect to ${to.host}:${to.port}: ${toError(error).message}`,
      { cause: error },
    )
  }
}

function openTcp(to: PeerAddress, address: string, { timings }: ConnectParts): Socket {
  return net.connect({ host: address, port: to.port, ...socketOptions(timings) })
}

function openTls(to: PeerAddress, address: string, parts: ConnectParts, material: TransportTls): Socket {
  const socket = tls.connect({
    host: address,
    port: to.port,
    ...socketOptions(parts.timings),
    ...tlsMaterial(material),
    ...(isIP(to.host) === 0 ? { servername: to.host } : {}),
    rejectUnauthorized: true,
    checkServerIdentity: (_name, certificate) => {
      if (material.checkAddress !== true) return undefined
      const mistake = certificateMistake(to.host, certificate)
      return mistake === undefined ? undefined : new RefusedError(mistake, 'self')
    },
  })
  // `tls.connect` hands these on to its socket in some versions of Node only.
  socket.setNoDelay(true)
  socket.setKeepAlive(parts.timings.tcpKeepAliveMs > 0, parts.timings.tcpKeepAliveMs)
  return socket
}

function socketOptions({ tcpKeepAliveMs }: TransportTimings): {
  noDelay: boolean
  keepAlive: boolean
  keepAliveInitialDelay: number
} {
  return { noDelay: true, keepAlive: tcpKeepAliveMs > 0, keepAliveInitialDelay: tcpKeepAliveMs }
}

async function connected(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
): Promise<void> {
  await abortable(
    new Promise<void>((resolve, reject) => {
      socket.once(event, () => resolve())
      // Stays for as long as the socket lives: an error that comes late has nobody else who takes it.
      socket.on('error', reject)
      socket.once('close', () => reject(new Error('the connection closed')))
    }),
    signal,
  )
}
