import { createHash, randomBytes } from 'node:crypto'
import type { MessageInput } from '@sluice/contracts'
import type { ProducerId } from '@sluice/domain'
import type { FastifyRequest } from 'fastify'

const REQUEST_ID = /^[0-9a-f]{32}$/

/** By what a produce call is known when it comes again. */
export interface CallIdentity {
  /** 32 hex digits. */
  readonly requestId: string
  /** The client's own id: it may send the call again at any time, here or elsewhere. Else nobody knows it but us. */
  readonly isClients: boolean
  /** The load balancer gave this call to another write manager before. */
  readonly isRetry: boolean
}

export function callIdentityOf({ headers }: Pick<FastifyRequest, 'headers'>): CallIdentity {
  const given = headers['x-request-id']
  const id = typeof given === 'string' ? given.toLowerCase() : ''
  if (!REQUEST_ID.test(id))
    return { requestId: randomBytes(16).toString('hex'), isClients: false, isRetry: false }
  const isClients = headers['x-sluice-id-origin'] === 'client'
  return { requestId: id, isClients, isRetry: !isClients && headers['x-sluice-retry'] === '1' }
}

/** How the audit trail names who asked for a change: by the id of the call, which logs and the answer have too. */
export function askerOf(request: Pick<FastifyRequest, 'headers'>): string {
  return `request ${callIdentityOf(request).requestId}`
}

/** The id of a message that has one of its own: the producer's, whatever call it comes with. */
export function ownRunId(producerId: ProducerId, messageId: string): string {
  return digest(`m/${producerId}/`, messageId)
}

/**
 * The id of one message of a call that the client may send again. Its content is part of it: a client
 * that uses one request id for different calls has each of them stored.
 */
export function messageRunId(requestId: string, place: number, message: MessageInput): string {
  const { value, key, headers } = message
  return digest(`c/${requestId}/${place}/`, key ?? '', '/', value, JSON.stringify(headers ?? {}))
}

/** The id of the messages at these places of a call. @param places in order, at least one */
export function partRunId(requestId: string, places: readonly number[]): string {
  return digest(`p/${requestId}/${places[0]!}/${places.at(-1)!}/${places.length}`)
}

function digest(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex').slice(0, 32)
}
