import type { ClusterClient } from '@sluice/client'
import {
  parseAlterTopic,
  parseCreateTopic,
  parseProduceRequest,
  parseTopicRequest,
  SCHEMAS,
} from '@sluice/contracts'
import { partitionName } from '@sluice/domain'
import type { FastifyInstance } from 'fastify'
import type { Administration } from './administration.js'
import { addBrokerRoutes, type BrokerRouteParts } from './broker-routes.js'
import { askerOf, callIdentityOf } from './call-identity.js'
import { topicView } from './cluster-view.js'
import { addHealthRoutes } from './health-routes.js'
import type { Publishing } from './publishing.js'

export interface RouteParts extends BrokerRouteParts {
  readonly cluster: Pick<ClusterClient, 'metadata'>
  readonly administration: Administration
  readonly publishing: Publishing
  readonly messageBytesMax: number
}

const DESCRIPTION = {
  status: 'success',
  name: 'sluice',
  message: 'Sluice: a message broker. Publish with POST /producer/produce, read with GET /consumer/consume.',
  calls: [
    'POST /topics',
    'GET /topics',
    'GET /topics/{topic}',
    'PATCH /topics/{topic}',
    'DELETE /topics/{topic}',
    'POST /partition',
    'POST /producer/register',
    'POST /producer/produce',
    'POST /consumer/register',
    'GET /consumer/consume',
    'POST /consumer/ack',
    'POST /consumer/seek',
    'GET /consumer/lag',
    'GET /size',
    'POST /broker',
    'GET /brokers',
    'DELETE /broker/{broker_id}',
    'POST /broker/{broker_id}/maintenance',
    'POST /rebalance',
    'GET /rebalance',
    'DELETE /rebalance',
    'GET /health-checks',
    'GET /audit-events',
    'GET /settings',
    'PATCH /settings',
  ],
} as const

export function addRoutes(app: FastifyInstance, parts: RouteParts): void {
  app.get('/', () => DESCRIPTION)
  addProducerRoutes(app, parts)
  addTopicRoutes(app, parts)
  addBrokerRoutes(app, parts)
  addHealthRoutes(app, parts)
}

function addProducerRoutes(
  app: FastifyInstance,
  { administration, publishing, messageBytesMax }: RouteParts,
): void {
  app.post('/producer/register', { schema: SCHEMAS.registerProducer }, async (request) => {
    const { topic, topicField } = parseTopicRequest(request.body)
    const producerId = await administration.registerProducer({ topic, topicField })
    return {
      status: 'success',
      producer_id: producerId,
      topic,
      message: `Producer ID ${producerId} registered for topic ${topic}`,
    }
  })

  app.post('/producer/produce', { schema: SCHEMAS.produce }, async (request) => {
    const call = parseProduceRequest(request.body, { messageBytesMax })
    const published = await publishing.publish(call, callIdentityOf(request))
    const message = `Producer ID ${call.producerId} published in topic ${call.topic}`
    if (call.single) return { status: 'success', ...published[0]!, message }
    return { status: 'success', count: published.length, messages: published, message }
  })
}

function addTopicRoutes(app: FastifyInstance, { administration, cluster }: RouteParts): void {
  app.post('/topics', { schema: SCHEMAS.createTopic }, async (request) => {
    const topic = await administration.createTopic(parseCreateTopic(request.body), askerOf(request))
    return {
      status: 'success',
      topic: topic.name,
      ...topicView(topic),
      message: `Topic ${partitionName(topic.name, 1)} created successfully`,
    }
  })

  app.get('/topics', { schema: SCHEMAS.listTopics }, () => {
    const details = Array.from(cluster.metadata.state.topics(), topicView)
    return {
      status: 'success',
      topics: details.map(({ name }) => name),
      details,
      message: `${details.length} topics`,
    }
  })

  app.get<{ Params: { topic: string } }>('/topics/:topic', { schema: SCHEMAS.getTopic }, async (request) => {
    const topic = await administration.topic(parseTopicRequest({ topic: request.params.topic }))
    return { status: 'success', topic: topic.name, ...topicView(topic), message: `Topic ${topic.name}` }
  })

  app.patch<{ Params: { topic: string } }>(
    '/topics/:topic',
    { schema: SCHEMAS.alterTopic },
    async (request) => {
      const topic = await administration.alterTopic(
        parseAlterTopic(request.params.topic, request.body),
        askerOf(request),
      )
      return {
        status: 'success',
        topic: topic.name,
        ...topicView(topic),
        message: `Topic ${topic.name} changed`,
      }
    },
  )

  app.delete<{ Params: { topic: string } }>(
    '/topics/:topic',
    { schema: SCHEMAS.deleteTopic },
    async (request) => {
      const named = parseTopicRequest({ topic: request.params.topic })
      await administration.deleteTopic(named, askerOf(request))
      return { status: 'success', topic: named.topic, message: `Topic ${named.topic} deleted successfully` }
    },
  )

  app.post('/partition', { schema: SCHEMAS.addPartition }, async (request) => {
    const partition = await administration.addPartition(parseTopicRequest(request.body), askerOf(request))
    return {
      status: 'success',
      partition,
      message: `Partition ${partition} created successfully`,
    }
  })
}
