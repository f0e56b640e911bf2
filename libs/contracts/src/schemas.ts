import Type from 'typebox'
import { PARTITIONS_PER_CREATE_MAX, REPLICATION_FACTOR_MAX } from './admin-requests.js'
import { CONSUMED_MESSAGES_MAX, WAIT_MS_MAX } from './consumer-requests.js'
import {
  ACTOR_STATUSES,
  ACTOR_TYPES,
  DEAD_AFTER_MS,
  FEATURE_LEVEL_MAX,
  LIST_LIMIT_DEFAULT,
  LIST_LIMIT_MAX,
} from './health-requests.js'
import { MESSAGE_ID_CHARACTERS_MAX, MESSAGES_PER_CALL_MAX } from './produce-request.js'
import { MOVE_TIMEOUT_MS_MAX, MOVE_TIMEOUT_MS_MIN, MOVES_AT_ONCE_MAX } from './rebalance-requests.js'
import { GROWTH_LIMIT_MAX, GROWTHS, PARTITIONS_PER_TOPIC_MAX, RETENTION_MIN } from './topic-change.js'

/*
 * The public calls as JSON Schema. They describe what the parsers of this package take; the parsers
 * are the gate, because their errors name a field as the caller spelt it.
 */

const Id = (description: string) =>
  Type.Union([Type.Integer({ minimum: 1 }), Type.String({ pattern: '^[0-9]{1,10}$' })], { description })
const Whole = (bounds: { minimum: number; maximum: number }, description: string) =>
  Type.Union([Type.Integer(bounds), Type.String({ pattern: '^[0-9]{1,16}$' })], { description })
const Retention = (description: string) =>
  Type.Optional(
    Type.Union([
      Whole({ minimum: RETENTION_MIN, maximum: Number.MAX_SAFE_INTEGER }, description),
      Type.Null(),
    ]),
  )
const TopicName = Type.String({ pattern: '^[A-Za-z0-9._-]{1,200}$' })
const Partition = Type.Union([Type.Integer({ minimum: 1 }), Type.String()], {
  description: 'A number from 1, or the whole name, such as orders.1',
})
const Time = Type.Union([Type.Integer({ minimum: 0 }), Type.String()], {
  description: 'Milliseconds since 1970, or ISO 8601 with a zone',
})

const topicFields = {
  topic_name: Type.Optional(TopicName),
  topic: Type.Optional(TopicName),
}
const messageFields = {
  message: Type.Optional(Type.String()),
  message_base64: Type.Optional(Type.String({ contentEncoding: 'base64' })),
  key: Type.Optional(Type.String({ description: 'Messages of a key keep their order' })),
  key_base64: Type.Optional(Type.String({ contentEncoding: 'base64' })),
  headers: Type.Optional(Type.Record(Type.String(), Type.String())),
  timestamp: Type.Optional(Time),
  partition: Type.Optional(Partition),
  message_id: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: MESSAGE_ID_CHARACTERS_MAX,
      description: "The producer's name for this message: sent again, it is not stored again",
    }),
  ),
}
const topicChangeFields = {
  growth: Type.Optional(
    Type.Enum(GROWTHS, {
      description: 'When it gets another partition by itself; default is what the cluster does',
    }),
  ),
  growth_limit: Type.Optional(
    Whole({ minimum: 1, maximum: GROWTH_LIMIT_MAX }, 'Messages, bytes, or messages a second, per partition'),
  ),
  partitions_max: Type.Optional(
    Whole({ minimum: 1, maximum: PARTITIONS_PER_TOPIC_MAX }, 'Partitions that it may grow to by itself'),
  ),
  retention_ms: Retention('Milliseconds that a partition keeps a message; default for ever'),
  retention_bytes: Retention('Bytes that a partition keeps; default all'),
  retention_messages: Retention('Messages that a partition keeps; default all'),
}
const consumerFields = { consumer_id: Id('From POST /consumer/register'), ...topicFields }
const STRICT = { additionalProperties: false }

const Limit = Type.Optional(
  Whole({ minimum: 1, maximum: LIST_LIMIT_MAX }, `Rows of one page, default ${LIST_LIMIT_DEFAULT}`),
)
const DeadAfter = Type.Optional(
  Whole({ minimum: DEAD_AFTER_MS.min, maximum: DEAD_AFTER_MS.max }, 'Milliseconds'),
)
const NOTHING = Type.Object({}, STRICT)
const BrokerPath = Type.Object({ broker_id: Id('From GET /brokers') })
const Switch = (description: string) =>
  Type.Union([Type.Boolean(), Type.Literal('true'), Type.Literal('false')], { description })
const Force = Switch('Also when partitions lose a replica by it')
const RebalanceFields = Type.Object(
  {
    dry_run: Type.Optional(Switch('Only show the plan')),
    moves_at_once: Type.Optional(
      Whole({ minimum: 1, maximum: MOVES_AT_ONCE_MAX }, 'Moves that are under way at the same time'),
    ),
    move_timeout_ms: Type.Optional(
      Whole(
        { minimum: MOVE_TIMEOUT_MS_MIN, maximum: MOVE_TIMEOUT_MS_MAX },
        'A move that takes longer, beside what its bytes take, is undone',
      ),
    ),
  },
  STRICT,
)
const TopicBody = Type.Object(topicFields, STRICT)
const ConsumeFields = Type.Object(
  {
    ...consumerFields,
    max_messages: Type.Optional(
      Whole({ minimum: 1, maximum: CONSUMED_MESSAGES_MAX }, 'Asks for the form with a list'),
    ),
    wait_ms: Type.Optional(Whole({ minimum: 0, maximum: WAIT_MS_MAX }, 'How long to wait for a message')),
  },
  STRICT,
)
const ConsumerFields = Type.Object(consumerFields, STRICT)

/** Request schemas by operation, in the form that a Fastify route takes. */
export const SCHEMAS = {
  createTopic: {
    summary: 'Makes a topic',
    body: Type.Object(
      {
        ...topicFields,
        name: Type.Optional(TopicName),
        partitions: Type.Optional(Whole({ minimum: 1, maximum: PARTITIONS_PER_CREATE_MAX }, 'Default 1')),
        replication_factor: Type.Optional(
          Whole({ minimum: 1, maximum: REPLICATION_FACTOR_MAX }, 'Default 3'),
        ),
        ...topicChangeFields,
      },
      STRICT,
    ),
  },
  listTopics: { summary: 'All topics', querystring: NOTHING },
  getTopic: { summary: 'One topic', params: Type.Object({ topic: TopicName }) },
  alterTopic: {
    summary: 'Changes what a topic does, and how many partitions take messages',
    params: Type.Object({ topic: TopicName }),
    body: Type.Object(
      {
        partitions: Type.Optional(
          Whole({ minimum: 1, maximum: PARTITIONS_PER_TOPIC_MAX }, 'More are added, fewer are closed'),
        ),
        ...topicChangeFields,
      },
      STRICT,
    ),
  },
  deleteTopic: {
    summary: 'Deletes a topic with its messages, producers and consumers',
    params: Type.Object({ topic: TopicName }),
  },
  addPartition: { summary: 'Adds a partition to a topic', body: TopicBody },
  registerProducer: { summary: 'Registers a producer; makes its topic when there is none', body: TopicBody },
  produce: {
    summary: 'Publishes one message, or several',
    body: Type.Object(
      {
        producer_id: Id('From POST /producer/register'),
        ...topicFields,
        ...messageFields,
        messages: Type.Optional(
          Type.Array(Type.Union([Type.String(), Type.Object(messageFields, STRICT)]), {
            minItems: 1,
            maxItems: MESSAGES_PER_CALL_MAX,
          }),
        ),
      },
      STRICT,
    ),
  },
  registerConsumer: {
    summary: 'Registers a consumer of a topic that exists',
    body: Type.Object(
      {
        ...topicFields,
        start: Type.Optional(
          Type.Union([Type.Literal('earliest'), Type.Literal('latest'), Time], {
            description: 'Default earliest',
          }),
        ),
        ack: Type.Optional(
          Type.Union([Type.Literal('auto'), Type.Literal('manual')], { description: 'Default auto' }),
        ),
        auto_offset_reset: Type.Optional(
          Type.Union([Type.Literal('earliest'), Type.Literal('none')], {
            description:
              'When messages were deleted before they were read: go on behind them, or fail. Default earliest',
          }),
        ),
      },
      STRICT,
    ),
  },
  consumeByBody: { summary: 'The next unread message, or messages', body: ConsumeFields },
  consumeByQuery: {
    summary: 'The next unread message, or messages',
    querystring: Type.Partial(ConsumeFields),
  },
  acknowledge: {
    summary: 'Done with a message and everything before it in its partition',
    body: Type.Object(
      {
        ...consumerFields,
        partition: Partition,
        offset: Whole({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }, 'Of the message'),
      },
      STRICT,
    ),
  },
  seek: {
    summary: 'Moves a consumer',
    body: Type.Object(
      {
        ...consumerFields,
        partition: Type.Optional(Partition),
        offset: Type.Optional(
          Whole({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }, 'Next to be delivered'),
        ),
        to: Type.Optional(Type.Union([Type.Literal('earliest'), Type.Literal('latest'), Time])),
      },
      STRICT,
    ),
  },
  lag: { summary: 'Messages left, by partition', querystring: Type.Partial(ConsumerFields) },
  size: { summary: 'Messages left', querystring: Type.Partial(ConsumerFields) },
  addBroker: {
    summary: 'Adds a running broker process',
    body: Type.Object(
      {
        host: Type.Optional(Type.String()),
        port: Whole({ minimum: 1, maximum: 65_535 }, 'Of the broker process'),
      },
      STRICT,
    ),
  },
  removeBroker: {
    summary: 'Moves everything off a broker, then removes it',
    params: BrokerPath,
    querystring: Type.Object({ force: Type.Optional(Force) }, STRICT),
  },
  removeBrokerByBody: {
    summary: 'Moves everything off a broker, then removes it',
    body: Type.Object({ broker_id: Id('From GET /brokers'), force: Type.Optional(Force) }, STRICT),
  },
  setMaintenance: {
    summary: 'Hands the leaderships of a broker over, as before an upgrade, or gives it its share back',
    params: BrokerPath,
    body: Type.Object({ enabled: Type.Optional(Switch('On unless it is false')) }, STRICT),
  },
  rebalance: {
    summary: 'Makes replicas and leaders even, or shows how',
    querystring: RebalanceFields,
  },
  getRebalance: { summary: 'The newest plan of moves and how far it is', querystring: NOTHING },
  cancelRebalance: {
    summary: 'Calls the running plan off; moves that are under way are undone',
    querystring: NOTHING,
  },
  listBrokers: { summary: 'All brokers', querystring: NOTHING },
  listHealthChecks: {
    summary: 'Who was last active when, and is alive or dead since when and why',
    querystring: Type.Object(
      {
        type: Type.Optional(Type.Enum(ACTOR_TYPES)),
        status: Type.Optional(Type.Enum(ACTOR_STATUSES)),
        limit: Limit,
        after: Type.Optional(
          Type.String({ description: 'next_after of the page before, such as producer/7' }),
        ),
      },
      STRICT,
    ),
  },
  listAuditEvents: {
    summary: 'What has changed in the cluster, and why',
    querystring: Type.Object(
      {
        kind: Type.Optional(Type.String({ description: 'Such as broker-dead' })),
        subject: Type.Optional(Type.String({ description: 'Such as broker/3 or topic/orders' })),
        since: Type.Optional(Time),
        until: Type.Optional(Time),
        order: Type.Optional(
          Type.Enum(['oldest', 'newest'], { description: 'What comes first; default oldest' }),
        ),
        limit: Limit,
        after: Type.Optional(
          Whole({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }, 'next_after of the page before'),
        ),
      },
      STRICT,
    ),
  },
  getSettings: { summary: 'Settings of the whole cluster', querystring: NOTHING },
  changeSettings: {
    summary: 'Changes settings of the whole cluster',
    body: Type.Object(
      {
        dead_after_ms: Type.Optional(
          Type.Object(
            { broker: DeadAfter, producer: DeadAfter, consumer: DeadAfter },
            { ...STRICT, description: 'Silence after which an actor of the type is dead' },
          ),
        ),
        rebuild_after_ms: Type.Optional(
          Whole(
            { minimum: DEAD_AFTER_MS.min, maximum: DEAD_AFTER_MS.max },
            'Silence after which what a dead broker held is rebuilt on others',
          ),
        ),
        feature_level: Type.Optional(
          Whole({ minimum: 1, maximum: FEATURE_LEVEL_MAX }, 'Raised when every broker can; never lowered'),
        ),
      },
      STRICT,
    ),
  },
} as const

/** Where each operation is served. */
export const OPERATIONS = [
  { method: 'POST', path: '/topics', operation: 'createTopic' },
  { method: 'GET', path: '/topics', operation: 'listTopics' },
  { method: 'GET', path: '/topics/{topic}', operation: 'getTopic' },
  { method: 'PATCH', path: '/topics/{topic}', operation: 'alterTopic' },
  { method: 'DELETE', path: '/topics/{topic}', operation: 'deleteTopic' },
  { method: 'POST', path: '/partition', operation: 'addPartition' },
  { method: 'POST', path: '/producer/register', operation: 'registerProducer' },
  { method: 'POST', path: '/producer/produce', operation: 'produce' },
  { method: 'POST', path: '/consumer/register', operation: 'registerConsumer' },
  { method: 'POST', path: '/consumer/consume', operation: 'consumeByBody' },
  { method: 'GET', path: '/consumer/consume', operation: 'consumeByQuery' },
  { method: 'POST', path: '/consumer/ack', operation: 'acknowledge' },
  { method: 'POST', path: '/consumer/seek', operation: 'seek' },
  { method: 'GET', path: '/consumer/lag', operation: 'lag' },
  { method: 'GET', path: '/size', operation: 'size' },
  { method: 'POST', path: '/broker', operation: 'addBroker' },
  { method: 'DELETE', path: '/broker/{broker_id}', operation: 'removeBroker' },
  { method: 'DELETE', path: '/broker/remove', operation: 'removeBrokerByBody' },
  { method: 'POST', path: '/broker/{broker_id}/maintenance', operation: 'setMaintenance' },
  { method: 'POST', path: '/rebalance', operation: 'rebalance' },
  { method: 'GET', path: '/rebalance', operation: 'getRebalance' },
  { method: 'DELETE', path: '/rebalance', operation: 'cancelRebalance' },
  { method: 'GET', path: '/brokers', operation: 'listBrokers' },
  { method: 'GET', path: '/health-checks', operation: 'listHealthChecks' },
  { method: 'GET', path: '/audit-events', operation: 'listAuditEvents' },
  { method: 'GET', path: '/settings', operation: 'getSettings' },
  { method: 'PATCH', path: '/settings', operation: 'changeSettings' },
] as const satisfies readonly { method: string; path: string; operation: keyof typeof SCHEMAS }[]
