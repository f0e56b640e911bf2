import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from './consuming.js'

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

/** The fields of a GET: its JSON body, else its query. */
export function inputOf(request: FastifyRequest): unknown {
  return request.body ?? request.query
}

/** Who waits for the answer, and perhaps no longer does. */
export function callerOf(reply: FastifyReply): Caller {
  const { raw } = reply
  return {
    get gone() {
      return raw.destroyed || raw.socket?.destroyed === true
    },
    onGone: (listener) => raw.once('close', listener),
  }
}
