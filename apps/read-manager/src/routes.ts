import {
  parseAck,
  parseConsumerCall,
  parseConsumeRequest,
  parseRegisterConsumer,
  parseSeek,
  SCHEMAS,
} from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Consuming } from './consuming.js'
import type { Positions } from './positions.js'
import { callerOf, inputOf, isRetry, requestIdOf, tryOf } from './request-call.js'

export interface RouteParts {
  readonly consuming: Consuming
  readonly positions: Positions
}

export function addRoutes(app: FastifyInstance, parts: RouteParts): void {
  addConsumeRoutes(app, parts)
  addPositionRoutes(app, parts)
}

function addConsumeRoutes(app: FastifyInstance, { consuming, positions }: RouteParts): void {
  app.post('/consumer/register', { schema: SCHEMAS.registerConsumer }, async (request) => {
    const registration = parseRegisterConsumer(request.body)
    const consumerId = await positions.register(registration)
    return {
      status: 'success',
      consumer_id: consumerId,
      topic: registration.topic,
      message: `Consumer ID ${consumerId} subscribed to topic ${registration.topic}`,
    }
  })

  const consume = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const { messagesMax, ...call } = parseConsumeRequest(inputOf(request))
    const caller = callerOf(reply)
    const { messages, skipped, giveBack } = await consuming.consume({
      ...call,
      messagesMax: messagesMax ?? 1,
      requestId: requestIdOf(request),
      isRetry: isRetry(request),
      tryNumber: tryOf(request),
      caller,
    })
    if (caller.gone) giveBack()
    const lost = skipped.size === 0 ? {} : { skipped: Object.fromEntries(skipped) }
    if (messagesMax !== undefined) return { status: 'success', count: messages.length, messages, ...lost }
    const first = messages[0]
    if (first === undefined)
      throw new BrokerError(
        'NO_MESSAGES',
        `nothing left in topic ${call.topic} for consumer ${call.consumerId}`,
      )
    return { status: 'success', ...first, ...lost }
  }
  app.get('/consumer/consume', { schema: SCHEMAS.consumeByQuery }, consume)
  app.post('/consumer/consume', { schema: SCHEMAS.consumeByBody }, consume)
}

function addPositionRoutes(app: FastifyInstance, { positions }: RouteParts): void {
  app.post('/consumer/ack', { schema: SCHEMAS.acknowledge }, async (request) => {
    const call = parseAck(request.body)
    const acknowledged = await positions.acknowledge(call)
    const message = `Consumer ID ${call.consumerId} acknowledged ${acknowledged.partition} up to ${call.offset}`
    return { status: 'success', ...acknowledged, message }
  })

  app.post('/consumer/seek', { schema: SCHEMAS.seek }, async (request) => {
    const call = parseSeek(request.body)
    const moved = await positions.seek(call)
    return { status: 'success', partitions: moved, message: `Consumer ID ${call.consumerId} moved` }
  })

  app.get('/consumer/lag', { schema: SCHEMAS.lag }, async (request) => {
    const partitions = await positions.lag(parseConsumerCall(inputOf(request)))
    return { status: 'success', lag: sum(partitions), partitions }
  })

  app.get('/size', { schema: SCHEMAS.size }, async (request) => {
    const call = parseConsumerCall(inputOf(request))
    const size = sum(await positions.lag(call))
    const message = `${size} messages left in topic ${call.topic} for consumer ID ${call.consumerId}`
    return { status: 'success', size, message }
  })
}

function sum(partitions: readonly { readonly lag: number }[]): number {
  return partitions.reduce((total, { lag }) => total + lag, 0)
}
