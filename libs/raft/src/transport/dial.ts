import type { Clock } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import { abortable } from './abortable.js'
import type { ClusterKey } from './cluster-key.js'
import { connect, type ConnectParts } from './connect.js'
import { Connection, type ConnectionEvents } from './connection.js'
import { withDeadline } from './deadline.js'
import { HandshakeChannel } from './handshake-channel.js'
import { introduceDialer } from './handshake.js'
import type { PeerHello } from './hello.js'
import type { Refusal } from './refusal.js'
import { RefusedError, TransportError } from './transport-error.js'
import type { PeerAddress, TransportLimits } from './transport-options.js'

export interface DialParts extends ConnectParts {
  readonly identity: PeerHello
  /** The key of a cluster for whoever has its secret; undefined without a secret. */
  readonly keyOf: ((clusterId: Uint8Array) => Promise<ClusterKey>) | undefined
  readonly limits: TransportLimits
  readonly clock: Clock
  /** Why the node that answers is not taken, if it is not. */
  readonly admit: (peer: PeerHello) => Promise<Refusal | undefined>
  readonly eventsOf: (connection: Connection) => ConnectionEvents
}

interface DialTarget {
  readonly address: PeerAddress
  /** The node that must answer; 0 is any. */
  readonly id: NodeId | 0
  /** Number of the attempt, from 0. */
  readonly attempt: number
}

/**
 * A connection that is up: both sides have introduced themselves and taken each other.
 * @throws TransportError, RefusedError, or the signal's reason
 */
export async function dial(target: DialTarget, parts: DialParts, signal: AbortSignal): Promise<Connection> {
  const { address, id, attempt } = target
  const { connectTimeoutMs, handshakeTimeoutMs, closeGraceMs } = parts.timings
  const notConnected = (): Error =>
    new TransportError(
      'CONNECT_FAILED',
      `cannot connect to ${address.host}:${address.port} in ${connectTimeoutMs} ms`,
    )
  const socket = await withDeadline(
    { timeoutMs: connectTimeoutMs, late: notConnected, signal },
    (connecting) => connect(address, attempt, parts, connecting),
  )
  return withDeadline(
    { timeoutMs: handshakeTimeoutMs, late: handshakeTimeout, signal },
    async (shakingHands) => {
      const channel = new HandshakeChannel(socket, shakingHands)
      try {
        const { peer, keys } = await introduceDialer(
          { channel, identity: parts.identity, keyOf: parts.keyOf, encrypts: parts.tls === undefined },
          id,
        )
        const head = channel.detach()
        const connection = new Connection({ ...parts, socket, head, keys, peer })
        return await agree(connection, parts, shakingHands)
      } catch (error) {
        endHandshake(channel, error, closeGraceMs)
        throw error
      }
    },
  )
}

/** A reason to end a handshake that takes too long. */
export function handshakeTimeout(): RefusedError {
  return new RefusedError(
    { code: 'HANDSHAKE_TIMEOUT', message: 'the introduction was not over in time' },
    'self',
  )
}

/** After a failure: tells the peer what this side refuses, and lets go of the socket. */
export function endHandshake(channel: HandshakeChannel, error: unknown, graceMs: number): void {
  if (channel.detached) return
  if (error instanceof RefusedError && error.by === 'self') channel.refuse(error.refusal, graceMs)
  else channel.destroy()
}

async function agree(connection: Connection, parts: DialParts, signal: AbortSignal): Promise<Connection> {
  try {
    const refusal = await abortable(parts.admit(connection.peer), signal)
    if (refusal !== undefined) throw new RefusedError(refusal, 'self')
    connection.startReady(parts.eventsOf(connection))
    if (connection.closed) throw new TransportError('CLOSED', 'nobody wants this connection any more')
    return connection
  } catch (error) {
    if (error instanceof RefusedError && error.by === 'self') connection.refuse(error.refusal)
    else connection.close(new TransportError('CLOSED', 'the handshake failed', { cause: error }))
    throw error
  }
}
