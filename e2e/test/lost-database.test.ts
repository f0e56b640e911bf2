import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import pg from 'pg'
import { Api } from '../src/api.js'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { LocalCluster, until } from '../src/index.js'
import type { ClusterProcess } from '../src/local-cluster.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

const TOPIC = 'kept'
const BATCH = 50

interface PartitionStatus {
  readonly name: string
  readonly role: string
  readonly materialised: number
  readonly end: number
  readonly applied: number
  readonly compacted: number
}

async function statusOf(broker: ClusterProcess): Promise<Record<string, unknown>> {
  const api = new Api(broker.port)
  try {
    return await api.must('GET', '/status')
  } finally {
    api.close()
  }
}

const partitionsOf = (status: Record<string, unknown>): PartitionStatus[] =>
  status['partitions'] as PartitionStatus[]

const brokersOf = (running: LocalCluster): readonly ClusterProcess[] =>
  running.processes().filter(({ kind }) => kind === 'broker')

async function inDatabase<T>(
  running: LocalCluster,
  name: string,
  run: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const url = new URL(running.postgresUrl)
  url.pathname = `/${name}`
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  try {
    return await run(client)
  } finally {
    await client.end()
  }
}

/** Everything is in every database, and no log has it any more. */
async function settled(running: LocalCluster): Promise<void> {
  await until(
    async () => {
      const all = await Promise.all(brokersOf(running).map(statusOf))
      return all.every(
        (status) =>
          partitionsOf(status).length === 2 &&
          partitionsOf(status).every(
            ({ materialised, end, applied, compacted }) => materialised === end && compacted === applied,
          ),
      )
    },
    60_000,
    () => 'the logs are not compacted',
  )
}

async function whole(running: LocalCluster, broker: ClusterProcess): Promise<void> {
  await until(
    async () => {
      const status = await statusOf(brokersOf(running).find(({ id }) => id === broker.id)!)
      return status['database'] === 'ok' && partitionsOf(status).length === 2
    },
    60_000,
    () => `the database of broker ${broker.id} is not whole`,
  )
}

const logOf = (running: LocalCluster, { id }: ClusterProcess): Promise<string> =>
  readFile(path.join(running.dataDirectory, 'logs', `broker-${id}.log`), 'utf8')

class Load {
  readonly #running: LocalCluster
  readonly #producer: number
  readonly #consumer: number
  readonly #read: number[][] = [[], []]
  produced = 0

  private constructor(running: LocalCluster, producer: number, consumer: number) {
    this.#running = running
    this.#producer = producer
    this.#consumer = consumer
  }

  static async start(running: LocalCluster): Promise<Load> {
    await running.api.must('POST', '/topics', { topic_name: TOPIC, partitions: 2 })
    return new Load(
      running,
      await running.api.registerProducer(TOPIC),
      await running.api.registerConsumer(TOPIC),
    )
  }

  async produce(batches: number): Promise<void> {
    for (let i = 0; i < batches; i++) {
      await this.#running.api.must('POST', '/producer/produce', {
        producer_id: this.#producer,
        topic_name: TOPIC,
        messages: Array.from({ length: BATCH }, (_, j) => `m${this.produced + j}`),
      })
      this.produced += BATCH
    }
  }

  async consume(count: number): Promise<void> {
    let left = count
    while (left > 0) {
      const body = await this.#running.api.must('POST', '/consumer/consume', {
        consumer_id: this.#consumer,
        topic_name: TOPIC,
        max_messages: left,
      })
      expect(body).not.toHaveProperty('skipped')
      const messages = body['messages'] as { partition: string; offset: number }[]
      expect(messages.length).toBeGreaterThan(0)
      for (const { partition, offset } of messages) {
        const read = this.#read[Number(partition.at(-1)) - 1]!
        expect(offset).toBe(read.length)
        read.push(offset)
      }
      left -= messages.length
    }
  }

  /** Reads the rest: every message once, in order. */
  async drain(): Promise<void> {
    await this.consume(this.produced - this.#read.flat().length)
    expect(this.#read.flat()).toHaveLength(this.produced)
  }
}

test('a database that is dropped under a running broker is noticed and made whole from the other brokers', async () => {
  cluster = await LocalCluster.start()
  const running = cluster
  const load = await Load.start(running)
  await load.produce(20)
  await load.consume(300)
  await settled(running)
  const broker = await running.leaderOf('kept.1')
  await inDatabase(running, 'postgres', (client) =>
    client.query(`DROP DATABASE sluice_broker_${broker.id} WITH (FORCE)`),
  )
  await until(
    async () => (await logOf(running, broker)).includes('the database has lost data'),
    60_000,
    () => 'the loss is not noticed',
  )
  await load.produce(5)
  await whole(running, broker)
  await acknowledgedInEachDatabase(running, [TOPIC], load.produced)
  await until(
    () =>
      inDatabase(running, `sluice_broker_${broker.id}`, async (client) => {
        const { rows } = await client.query<{ count: string }>('SELECT count(*) FROM topics')
        return rows[0]!.count === '1'
      }),
    60_000,
    () => 'the metadata is not written anew',
  )
  await load.produce(5)
  await load.drain()
})

const TABLES = [
  'batch_slices',
  'partition_state',
  'batch_ranges',
  'record_batches',
  'consumer_cursors',
  'producer_sequences',
]

test('a broker whose database came back from an old backup, without metadata, starts from the other brokers', async () => {
  cluster = await LocalCluster.start()
  const running = cluster
  const load = await Load.start(running)
  await load.produce(10)
  await settled(running)
  const broker = brokersOf(running).at(-1)!
  const name = `sluice_broker_${broker.id}`
  await inDatabase(running, name, async (client) => {
    await client.query('CREATE SCHEMA backup')
    for (const table of TABLES) await client.query(`CREATE TABLE backup.${table} AS SELECT * FROM ${table}`)
  })
  await load.produce(10)
  await load.consume(200)
  // As many changes as it takes for the metadata to be read from its snapshot, not from its log.
  for (let i = 0; i < 1200; i += 50)
    await Promise.all(Array.from({ length: 50 }, () => running.api.registerProducer(TOPIC)))
  await settled(running)
  await until(
    async () => {
      const { metadata, log } = (await statusOf(broker)) as {
        metadata: { compacted: number }
        log: { lastLsn: number; durableLsn: number }
      }
      // On disk, too: else the log has everything after the restart, and nothing need be copied.
      return metadata.compacted > 0 && log.lastLsn === log.durableLsn
    },
    60_000,
    () => 'the log of the metadata is not compacted',
  )
  process.kill(broker.pid, 'SIGSTOP')
  await inDatabase(running, name, async (client) => {
    await client.query('BEGIN')
    await client.query(`TRUNCATE ${TABLES.join(', ')}, metadata_state, topics, partitions`)
    for (const table of TABLES) await client.query(`INSERT INTO ${table} SELECT * FROM backup.${table}`)
    await client.query('COMMIT')
  })
  process.kill(broker.pid, 'SIGKILL')
  await until(
    () => brokersOf(running).some(({ id, pid }) => id === broker.id && pid !== broker.pid),
    60_000,
    () => 'the broker is not started again',
  )
  await load.produce(5)
  await whole(running, broker)
  await acknowledgedInEachDatabase(running, [TOPIC], load.produced)
  const log = await logOf(running, broker)
  expect(log).toContain('the database has lost data')
  expect(log).toContain('the metadata is whole again')
  // It takes part again: it leads, and serves what it copied.
  for (const other of brokersOf(running).filter(({ id }) => id !== broker.id)) {
    const all = await statusOf(brokersOf(running).find(({ id }) => id === broker.id)!)
    if (partitionsOf(all).some(({ role }) => role === 'leader')) break
    running.kill(other)
    await until(
      () => brokersOf(running).some(({ id, pid }) => id === other.id && pid !== other.pid),
      60_000,
      () => 'a broker is not started again',
    )
  }
  await load.produce(5)
  await load.drain()
})
