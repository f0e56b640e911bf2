import { delay } from '@sluice/foundation'
import pg from 'pg'
import { Api } from '../api.js'
import { until } from '../local-cluster.js'
import { type ChaosCluster, RETENTION_CHECK_MS } from './chaos-cluster.js'
import { groupBy } from './grouping.js'
import type { Contents, MetadataContents, ReplicaContents, StoredMessage, Violation } from './history.js'

/** Some times as long as brokers wait between two looks at what topics keep. */
const STEADY_MS = 2 * RETENTION_CHECK_MS
/** Of every partition; what never has them is said by the check of the replicas. */
const REPLICAS = 3
const READ_MESSAGES_MAX = 1000
/** Topics that the checks look at: the probe's is nobody's. */
const PROBE_TOPIC = 'probe'

/** Waits until all replicas of all partitions have the same end, and their databases have it too. */
export async function awaitConvergence(
  cluster: ChaosCluster,
  limitMs: number,
): Promise<readonly Violation[]> {
  let open: readonly string[] = ['nobody was asked']
  try {
    await until(
      async () => {
        open = await differences(cluster)
        if (open.length > 0) return false
        // What a topic does not keep may still be about to be deleted.
        await delay(STEADY_MS)
        open = await differences(cluster)
        return open.length === 0
      },
      limitMs,
      () => '',
    )
    return []
  } catch {
    return [{ check: 'convergence', detail: `after ${limitMs} ms: ${open.slice(0, 8).join('; ')}` }]
  }
}

async function differences(cluster: ChaosCluster): Promise<readonly string[]> {
  const statuses = await cluster.statuses()
  const found = statuses.flatMap((status, i) =>
    status === undefined ? [`broker ${cluster.brokerIds[i]!} does not answer`] : [],
  )
  const replicas = statuses.flatMap((status) =>
    (status?.partitions ?? []).map((partition) => ({ broker: status!.brokerId, ...partition })),
  )
  const ranges = new Map<number, Awaited<ReturnType<typeof cluster.databases.ranges>>>()
  for (const id of cluster.brokerIds) ranges.set(id, await cluster.databases.ranges(id))
  for (const { broker, name, start } of replicas) {
    const stored = ranges.get(broker)?.get(name)
    // One that was made a moment ago is in a database once its first entry is.
    if (stored === undefined) found.push(`${name} is not in the database of broker ${broker}`)
    else if (stored.start !== start)
      found.push(`${name} on broker ${broker} starts at ${start}, stored ${stored.start}`)
  }
  for (const [name, group] of groupBy(replicas, (replica) => replica.name)) {
    const ends = group.map(
      ({ broker, start, end, materialised }) =>
        `broker ${broker} starts at ${start}, ends at ${end}, stored ${materialised}`,
    )
    const [first] = group
    if (
      group.some(
        ({ start, end, materialised }) =>
          start !== first!.start || end !== first!.end || materialised !== end,
      )
    )
      found.push(`${name}: ${ends.join(', ')}`)
    if (!group.some(({ role }) => role === 'leader')) found.push(`${name} has no leader`)
    if (group.length < REPLICAS) found.push(`${name} is open on ${group.length} brokers only`)
  }
  return found
}

/** The metadata's tables follow their log a little later: waits until they stand still and agree. */
export async function awaitMetadata(cluster: ChaosCluster, limitMs: number): Promise<void> {
  let before = ''
  await until(
    async () => {
      const shown = await Promise.all(cluster.brokerIds.map((id) => fromDatabase(cluster, id, metadataIn)))
      const texts = shown.map(({ topics, producers, consumers }) =>
        JSON.stringify([topics.toSorted(), [...producers.keys()].sort(), [...consumers.keys()].sort()]),
      )
      const agree = texts.every((text) => text === texts[0] && text === before)
      before = texts[0] ?? ''
      return agree
    },
    limitMs,
    () => '',
    // That they never agree is for the check of the metadata to say.
  ).catch(() => undefined)
}

/** Everything there is, from each broker's database and through the public API. */
export async function drain(cluster: ChaosCluster): Promise<Contents> {
  const replicas: ReplicaContents[] = []
  const metadata: MetadataContents[] = []
  for (const brokerId of cluster.brokerIds) {
    const partitions = await fromDatabase(cluster, brokerId, messagesIn)
    const ranges = await cluster.databases.ranges(brokerId)
    const starts = new Map(Array.from(ranges, ([name, { start }]) => [name, start]))
    replicas.push({ brokerId, partitions, starts })
    metadata.push({ brokerId, ...(await fromDatabase(cluster, brokerId, metadataIn)) })
  }
  const api = new Api(...cluster.ports)
  try {
    const listed = (await api.must('GET', '/topics'))['topics'] as readonly string[]
    const topics = listed.filter((topic) => topic !== PROBE_TOPIC)
    const read = new Map<string, StoredMessage[]>()
    for (const topic of topics) await readTopic(api, topic, read)
    return { replicas, metadata, topics, read }
  } finally {
    api.close()
  }
}

async function fromDatabase<T>(
  cluster: ChaosCluster,
  brokerId: number,
  read: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: cluster.databases.url(brokerId) })
  await client.connect()
  try {
    return await read(client)
  } finally {
    await client.end()
  }
}

/** A partition without messages is there with none. */
async function messagesIn(client: pg.Client): Promise<ReadonlyMap<string, readonly StoredMessage[]>> {
  const states = await client.query<{ partition: string }>(
    `SELECT topic || '.' || number AS partition FROM partition_state WHERE topic <> $1`,
    [PROBE_TOPIC],
  )
  const partitions = new Map<string, StoredMessage[]>(states.rows.map(({ partition }) => [partition, []]))
  const { rows } = await client.query<{ partition: string; message_offset: string; value: string }>(
    'SELECT partition, message_offset, value FROM messages WHERE topic <> $1 ORDER BY partition, message_offset',
    [PROBE_TOPIC],
  )
  for (const { partition, message_offset, value } of rows)
    partitions.get(partition)!.push({ offset: Number(message_offset), value })
  return partitions
}

async function metadataIn(client: pg.Client): Promise<Omit<MetadataContents, 'brokerId'>> {
  const topics = await client.query<{ name: string }>('SELECT name FROM topics')
  const actors = async (table: 'producers' | 'consumers'): Promise<ReadonlyMap<number, string>> => {
    const { rows } = await client.query<{ id: string; topic: string }>(`SELECT id, topic FROM ${table}`)
    return new Map(rows.map(({ id, topic }) => [Number(id), topic]))
  }
  return {
    topics: topics.rows.map(({ name }) => name),
    producers: await actors('producers'),
    consumers: await actors('consumers'),
  }
}

async function readTopic(api: Api, topic: string, into: Map<string, StoredMessage[]>): Promise<void> {
  const details = await api.must('GET', `/topics/${topic}`)
  for (const partition of details['partitions'] as readonly (string | { readonly name: string })[])
    into.set(typeof partition === 'string' ? partition : partition.name, [])
  const consumer = await api.registerConsumer(topic)
  for (;;) {
    const body = await api.must('POST', '/consumer/consume', {
      consumer_id: consumer,
      topic_name: topic,
      max_messages: READ_MESSAGES_MAX,
    })
    const messages = body['messages'] as readonly { partition: string; offset: number; message: string }[]
    if (messages.length === 0) return
    for (const { partition, offset, message } of messages)
      into.get(partition)!.push({ offset, value: message })
  }
}
