import pg from 'pg'
import { type LocalCluster, until } from './local-cluster.js'

/** Rows of the `messages` view in every broker's database, once each shows `expected` or time is up. */
export async function acknowledgedInEachDatabase(
  cluster: LocalCluster,
  topics: readonly string[],
  expected: number,
): Promise<number[]> {
  const brokers = cluster.processes().filter((candidate) => candidate.kind === 'broker')
  let counts: number[] = []
  await until(
    async () => {
      counts = await Promise.all(brokers.map((broker) => countMessages(cluster, broker.id, topics)))
      return counts.every((count) => count === expected)
    },
    60_000,
    () => `the databases hold ${counts.join(', ')} messages, not ${expected}`,
  )
  return counts
}

async function countMessages(
  cluster: LocalCluster,
  brokerId: number,
  topics: readonly string[],
): Promise<number> {
  return withDatabase(cluster, brokerId, async (client) => {
    const { rows } = await client.query<{ count: string }>(
      'SELECT count(*) FROM messages WHERE topic = ANY($1)',
      [topics],
    )
    return Number(rows[0]!.count)
  })
}

/** Messages in one broker's database; a partition of which there is nothing is left out. */
export async function messagesByPartition(
  cluster: LocalCluster,
  brokerId: number,
  topic: string,
): Promise<Map<string, number>> {
  return withDatabase(cluster, brokerId, async (client) => {
    const { rows } = await client.query<{ partition: string; count: string }>(
      'SELECT partition, count(*) FROM messages WHERE topic = $1 GROUP BY partition',
      [topic],
    )
    return new Map(rows.map((row) => [row.partition, Number(row.count)]))
  })
}

/** Who holds each partition of a topic, the preferred leader first, as one broker's database says. */
export async function replicasByPartition(
  cluster: LocalCluster,
  brokerId: number,
  topic: string,
): Promise<Map<string, readonly number[]>> {
  return withDatabase(cluster, brokerId, async (client) => {
    const { rows } = await client.query<{ name: string; brokers: number[] }>(
      `SELECT name, array_agg(broker_id::integer ORDER BY position) AS brokers
         FROM partitions JOIN replicas USING (group_id) WHERE topic = $1 GROUP BY name`,
      [topic],
    )
    return new Map(rows.map(({ name, brokers }) => [name, brokers]))
  })
}

async function withDatabase<T>(
  cluster: LocalCluster,
  brokerId: number,
  run: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const url = new URL(cluster.postgresUrl)
  url.pathname = `/sluice_broker_${brokerId}`
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  try {
    return await run(client)
  } finally {
    await client.end()
  }
}
