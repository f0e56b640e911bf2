import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from './caller.js'

const REQUEST_ID = /^[0-9a-f]{32}$/

/**
 * The id under which brokers know this call: the load balancer's, which stays the same when the call is
 * sent again elsewhere, else a new one.
 */
export function requestIdOf(request: FastifyRequest): string {
  const given = request.headers['x-request-id']
  const id = typeof given === 'string' ? given.toLowerCase() : ''
  return REQUEST_ID.test(id) ? id : randomBytes(16).toString('hex')
}

/** True when the load balancer sent this call to another read manager before. */
export function isRetry(request: FastifyRequest): boolean {
  return request.headers['x-sluice-retry'] === '1'
}

const TRY = /^[1-9][0-9]{0,15}$/

/** Which try of the call this is, as the load balancer counts: later ones have larger numbers. */
export function tryOf(request: FastifyRequest): number | undefined {
  const given = request.headers['x-sluice-try']
  return typeof given === 'string' && TRY.test(given) && Number.isSafeInteger(Number(given))
    ? Number(given)
    : undefined
}

/** The fields of a GET: its JSON body, else its query. */
export function inputOf(request: FastifyRequest): unknown {
  return request.body ?? request.query
}

/** Who waits for the answer, and perhaps no longer does. */
export function callerOf(reply: FastifyReply): Caller {
  const { raw } = reply
  return {
    get gone() {
      // The caller's end of the connection closes first.
      return raw.destroyed || raw.socket?.destroyed === true || raw.socket?.readableEnded === true
    },
    onGone: (listener) => raw.once('close', listener),
  }
}
