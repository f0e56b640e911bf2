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
    30_000,
    () => `the databases hold ${counts.join(', ')} messages, not ${expected}`,
  )
  return counts
}

async function countMessages(
  cluster: LocalCluster,
  brokerId: number,
  topics: readonly string[],
): Promise<number> {
  const url = new URL(cluster.postgresUrl)
  url.pathname = `/sluice_broker_${brokerId}`
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  try {
    const { rows } = await client.query<{ count: string }>(
      'SELECT count(*) FROM messages WHERE topic = ANY($1)',
      [topics],
    )
    return Number(rows[0]!.count)
  } finally {
    await client.end()
  }
}
