import { readFileSync, writeFileSync } from 'node:fs'
import { cp, rm } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { Api } from '../src/api.js'
import { launchOf, relaunch, sluice } from '../src/command.js'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { ExtraBroker } from '../src/extra-broker.js'
import { type ClusterProcess, LocalCluster, until } from '../src/index.js'

const QUIET_MS = 2000
const PARTITIONS = 4
const MESSAGES = 200
const UNCERTAIN = 'whether it was stored is not known'

let cluster: LocalCluster | undefined
let extras: ExtraBroker[] = []

afterEach(async () => {
  await Promise.all(extras.map((extra) => extra.stop()))
  await cluster?.destroy()
  cluster = undefined
  extras = []
})

interface View {
  readonly recoveries: readonly string[]
  readonly partitions: readonly { readonly name: string; readonly replicas: readonly number[] }[]
  readonly groups: readonly {
    readonly name: string
    readonly leader: number
    readonly term: number
    readonly voters: readonly number[]
  }[]
}

async function viewOf({ port }: ClusterProcess): Promise<View> {
  const api = new Api(port)
  try {
    return (await api.must('GET', '/recovery')) as unknown as View
  } finally {
    api.close()
  }
}

function brokerOf(running: LocalCluster, id: number): ClusterProcess {
  return running.processes().find((one) => one.kind === 'broker' && one.id === id)!
}

function start(brokers: number): Promise<LocalCluster> {
  return LocalCluster.start({
    brokers,
    env: { SLUICE_RESTART_DELAY_MS: '60000', BROKER_RECOVERY_QUIET_MS: String(QUIET_MS) },
  })
}

/** With its data directory, at the path of which there is a file: whoever starts it again does not get far. */
async function destroy(running: LocalCluster, broker: ClusterProcess, copyTo?: string): Promise<void> {
  running.kill(broker)
  const directory = path.join(running.dataDirectory, `broker-${broker.id}`)
  if (copyTo !== undefined) await cp(directory, copyTo, { recursive: true })
  await rm(directory, { recursive: true, maxRetries: 5 })
  writeFileSync(directory, '')
}

async function produce(running: LocalCluster, topic: string, texts: readonly string[]): Promise<number> {
  const producer = await running.api.registerProducer(topic)
  for (const message of texts)
    await running.api.must('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: topic,
      message,
      key: 'one partition',
    })
  return producer
}

async function consume(running: LocalCluster, topic: string): Promise<string[]> {
  const consumer = await running.api.registerConsumer(topic)
  const texts: string[] = []
  for (;;) {
    const { messages } = await running.api.must('POST', '/consumer/consume', {
      consumer_id: consumer,
      topic_name: topic,
      max_messages: 1000,
    })
    const some = messages as { message: string }[]
    if (some.length === 0) return texts
    texts.push(...some.map(({ message }) => message).filter((text) => text !== UNCERTAIN))
  }
}

/** As soon as it has been quiet for long enough. */
function plan(running: LocalCluster, survivors: readonly number[], file?: string): Promise<Made> {
  const ports = survivors.map((id) => brokerOf(running, id).port)
  return planAt(running, ports, file)
}

interface Made {
  readonly id: string
  readonly output: string
}

async function planAt(running: LocalCluster, ports: readonly number[], file = 'plan.json'): Promise<Made> {
  let made: Made | undefined
  let output = ''
  const addresses = ports.map((port) => `127.0.0.1:${port}`)
  await until(
    async () => {
      const ended = await sluice(
        [...['recover', 'plan', '--out', file, '--broker'], ...addresses],
        running.dataDirectory,
      )
      output = ended.output
      const id = /Plan ([0-9a-f]{12}) for cluster/.exec(output)?.[1]
      if (ended.code === 0 && id !== undefined) made = { id, output }
      return made !== undefined
    },
    60_000,
    () => `no plan: ${output}`,
  )
  return made!
}

function apply(
  running: LocalCluster,
  id: string,
  file = 'plan.json',
): Promise<{ readonly code: number | null; readonly output: string }> {
  return sluice(
    ['recover', 'apply', '--plan', file, '--confirm', id, '--operator', 'ann'],
    running.dataDirectory,
  )
}

/** Nobody who is heard can be given up, whoever asks for it. */
async function nothingIsForcedOnTheHealthy(running: LocalCluster): Promise<void> {
  const { port } = brokerOf(running, 1)
  const from = (...args: string[]) => sluice(['recover', 'plan', ...args], running.dataDirectory)
  const all = await from('--data-dir', running.dataDirectory)
  expect(all).toMatchObject({ code: 1 })
  expect(all.output).toMatch(/every broker of the cluster answers: nobody is lost/)
  const one = await from('--broker', `127.0.0.1:${port}`)
  expect(one).toMatchObject({ code: 1 })
  expect(one.output).toMatch(/is not named, and broker 1 heard it/)
  const api = new Api(port)
  try {
    const { cluster_id } = await api.must('GET', '/recovery')
    const order = { format: 1, plan_id: 'x', confirm: 'x', cluster_id, lost: [2, 3], groups: [] }
    for (const [body, code, why] of [
      [order, 'RECOVERY_REFUSED', /broker 2 was heard 0 ms ago: it is not lost/],
      [{ ...order, confirm: 'y' }, 'RECOVERY_REFUSED', /another one was confirmed/],
      [{ ...order, cluster_id: 'z' }, 'RECOVERY_REFUSED', /this broker belongs to cluster/],
      [{ ...order, lost: [1] }, 'RECOVERY_REFUSED', /broker 1 is alive/],
      [{ ...order, lost: 'all' }, 'INVALID_REQUEST', /lost must be a list/],
      [{ ...order, format: 2 }, 'UNSUPPORTED_VERSION', /format 1/],
    ] as const) {
      const answer = await api.post('/recovery/groups', body)
      expect(answer.body).toMatchObject({ code })
      expect(answer.body['message']).toMatch(why)
    }
    const step = { kind: 'begin', operator: 'ann', lost: [2], skips_ids: true, summary: 'no' }
    const record = await api.post('/recovery/record', { format: 1, plan_id: 'x', cluster_id, step })
    expect(record.body).toMatchObject({ code: 'RECOVERY_REFUSED', outcome: 'no' })
  } finally {
    api.close()
  }
}

async function applied(running: LocalCluster, id: string, file?: string): Promise<void> {
  const { code, output } = await apply(running, id, file)
  if (code !== 0) throw new Error(`not applied: ${output}`)
}

const numbered = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, i) => `m${i + from}`)

test('two of three brokers are lost for good: nothing happens by itself, and an operator goes on with what one has', async () => {
  const running = (cluster = await start(3))
  await running.api.must('POST', '/topics', { topic_name: 'orders', partitions: PARTITIONS })
  const producer = await produce(running, 'orders', numbered(MESSAGES))
  await acknowledgedInEachDatabase(running, ['orders'], MESSAGES)
  const survivor = brokerOf(running, 1)
  const [second, third] = [brokerOf(running, 2), brokerOf(running, 3)]
  const launch = launchOf(second)
  await nothingIsForcedOnTheHealthy(running)
  const old = path.join(running.dataDirectory, 'old-broker-2')
  const thirdLaunch = launchOf(third)
  await destroy(running, third)
  // A founder that has forgotten what it voted for is not let in again, while there is still a majority.
  const empty = path.join(running.dataDirectory, 'empty-broker-3')
  const anew = new URL(thirdLaunch.env['BROKER_DATABASE_URL']!)
  anew.pathname += '_anew'
  const forgetful = await relaunch(
    thirdLaunch,
    { BROKER_DATA_DIR: empty, BROKER_DATABASE_URL: anew.href },
    AbortSignal.timeout(60_000),
  )
  expect(forgetful.code).toBeGreaterThan(0)
  expect(forgetful.output).toMatch(/broker 3 of this cluster has another data directory/)
  await destroy(running, second, old)

  // The survivor may have led a partition, and stored what it cannot commit: that outcome is unknown.
  const codes: unknown[] = []
  const attempt = async (): Promise<unknown> => {
    const { body } = await running.api.post('/producer/produce', {
      producer_id: producer,
      topic_name: 'orders',
      message: UNCERTAIN,
    })
    expect(body).toMatchObject({ status: 'failure', retriable: true })
    codes.push(body['code'])
    return body['code']
  }
  await until(
    async () => (await attempt()) === 'NO_QUORUM',
    60_000,
    () => `it is not said that there is no quorum: ${codes.join(', ')}`,
  )
  expect(await attempt()).toBe('NO_QUORUM')
  const made = await plan(running, [1])
  expect(made.output).toMatch(/GIVEN UP FOR GOOD: broker 2 .*, broker 3 /)
  expect(made.output).toMatch(/metadata +1, 2, 3 +1 +broker 1 /)
  expect(made.output).toMatch(/orders\.\d: offsets 0 to 199 are kept, the newest of 20/)
  expect(made.output).toMatch(/0 partitions have their majority/)

  for (const [id, file, why] of [
    ['000000000000', 'plan.json', /000000000000 was confirmed: nothing was changed/],
    [made.id, 'changed.json', /was changed since it was made/],
  ] as const) {
    const path_ = path.join(running.dataDirectory, 'plan.json')
    writeFileSync(
      path.join(running.dataDirectory, 'changed.json'),
      readFileSync(path_, 'utf8').replace('"chosen": 1', '"chosen": 2'),
    )
    const ended = await apply(running, id, file)
    expect(ended).toMatchObject({ code: 1 })
    expect(ended.output).toMatch(why)
  }
  const before = await viewOf(survivor)
  expect(before.recoveries).toEqual([])
  for (const { leader, voters } of before.groups) {
    expect(leader).toBe(0)
    expect(voters.toSorted((a, b) => a - b)).toEqual([1, 2, 3])
  }

  await applied(running, made.id)
  const after = await viewOf(survivor)
  expect(after.recoveries).toEqual([made.id])
  for (const { leader, voters } of after.groups) expect([leader, voters]).toEqual([1, [1]])
  await applied(running, made.id)

  await produce(running, 'orders', numbered(20, MESSAGES))
  expect(await consume(running, 'orders')).toEqual(numbered(MESSAGES + 20))
  const { audit_events: events } = (await running.api.must('GET', '/audit-events?limit=1000')) as {
    audit_events: { kind: string; subject: string; reason: string; by: string | null }[]
  }
  const told = events.filter(({ kind }) => /^recovery|lost$|recovered$/.test(kind))
  expect(told.map(({ kind, subject }) => `${kind} ${subject}`).toSorted()).toEqual(
    [
      `recovery-begun recovery/${made.id}`,
      'broker-lost broker/2',
      'broker-lost broker/3',
      ...[1, 2, 3, 4].map((number) => `partition-recovered partition/orders.${number}`),
      `recovery-ended recovery/${made.id}`,
    ].toSorted(),
  )
  for (const { by } of told) expect(by).toBe('ann')
  expect(told.find(({ kind }) => kind === 'recovery-begun')?.reason).toMatch(/^brokers 2, 3 are given up/)

  const returned = await relaunch(launch, { BROKER_DATA_DIR: old }, AbortSignal.timeout(60_000))
  expect(returned.code).toBeGreaterThan(0)
  expect(returned.output).toMatch(/BROKER_FENCED/)
  expect(returned.output).toMatch(/was given up by recovery .* Start it with an empty data directory/)

  for (let i = 0; i < 2; i++) {
    const extra = await ExtraBroker.start(running)
    extras.push(extra)
    await running.api.must('POST', '/broker', { port: extra.port })
  }
  let rows: readonly { readonly broker_id: number; readonly replicas: number }[] = []
  await until(
    async () => {
      rows = (await running.api.must('GET', '/brokers'))['brokers'] as typeof rows
      return rows.length === 3 && rows.every(({ replicas }) => replicas === PARTITIONS)
    },
    60_000,
    () => `the replication factor is not reached: ${JSON.stringify(rows)}`,
  )
  await produce(running, 'orders', numbered(20, MESSAGES + 20))
  expect(await consume(running, 'orders')).toEqual(numbered(MESSAGES + 40))
})

/** A topic `wide` with three messages in each of its partitions. @returns produces one more */
async function threeInEach(
  running: LocalCluster,
  count: number,
): Promise<(partition: number, message: string) => ReturnType<Api['post']>> {
  await running.api.must('POST', '/topics', { topic_name: 'wide', partitions: count })
  const producer = await running.api.registerProducer('wide')
  const produceTo = (partition: number, message: string): ReturnType<Api['post']> =>
    running.api.post('/producer/produce', { producer_id: producer, topic_name: 'wide', partition, message })
  for (let partition = 1; partition <= count; partition++)
    for (const message of ['a', 'b', 'c'])
      expect(await produceTo(partition, `${partition}${message}`)).toMatchObject({ status: 200 })
  return produceTo
}

test('three of five are lost for good: partitions with a majority are left alone, those without go on with one, of one nothing is left', async () => {
  const running = (cluster = await start(5))
  const count = 10
  const produceTo = await threeInEach(running, count)
  const { partitions } = await viewOf(brokerOf(running, 1))
  const lost = [3, 4, 5]
  // Each replica that will be left has what was acknowledged, and knows that it was.
  const leftOf = (replicas: readonly number[]): number[] => replicas.filter((id) => !lost.includes(id))
  await until(
    async () => {
      for (const id of [1, 2]) {
        const api = new Api(brokerOf(running, id).port)
        const { partitions: held } = await api.must('GET', '/status').finally(() => api.close())
        if ((held as { end: number }[]).some(({ end }) => end !== 3)) return false
      }
      return true
    },
    60_000,
    () => 'the survivors do not have everything',
  )
  await Promise.all(lost.map((id) => destroy(running, brokerOf(running, id))))
  const made = await plan(running, [1, 2])
  const file = JSON.parse(readFileSync(path.join(running.dataDirectory, 'plan.json'), 'utf8')) as {
    readonly partitions: readonly { readonly name: string; readonly voters: readonly number[] }[]
    readonly gone: readonly { readonly name: string }[]
    readonly untouched: number
  }
  const named = (left: number): string[] =>
    partitions.filter(({ replicas }) => leftOf(replicas).length === left).map(({ name }) => name)
  expect(file.partitions.map(({ name }) => name)).toEqual(named(1))
  expect(file.gone.map(({ name }) => name)).toEqual(named(0))
  expect(file.untouched).toBe(named(2).length)
  for (const left of [1, 2]) expect(named(left).length).toBeGreaterThan(0)
  await applied(running, made.id)

  for (let partition = 1; partition <= count; partition++) {
    const { replicas } = partitions.find(({ name }) => name === `wide.${partition}`)!
    const isGone = leftOf(replicas).length === 0
    const answer = await produceTo(partition, `${partition}d`)
    if (isGone) expect(answer.body).toMatchObject({ status: 'failure', retriable: true })
    else expect(answer).toMatchObject({ status: 200, body: { offset: 3 } })
  }
  const { brokers } = (await running.api.must('GET', '/brokers')) as {
    brokers: { broker_id: number; state: string }[]
  }
  for (const { broker_id: id, state } of brokers) if (lost.includes(id)) expect(state).toBe('evicted')
})

test('all who made the cluster are lost for good, and those who were added later start alone: they go on with what they have', async () => {
  const running = (cluster = await start(3))
  for (let i = 0; i < 2; i++) {
    const extra = await ExtraBroker.start(running)
    extras.push(extra)
    await running.api.must('POST', '/broker', { port: extra.port })
  }
  const added = extras.map(({ port }) => port)
  const count = 10
  const produceTo = await threeInEach(running, count)
  await until(
    async () => {
      for (const port of added) {
        const api = new Api(port)
        const { partitions: held } = await api.must('GET', '/status').finally(() => api.close())
        if ((held as { end: number }[]).some(({ end }) => end !== 3)) return false
      }
      return true
    },
    60_000,
    () => 'those who were added do not have everything',
  )
  const { partitions } = await viewOf(brokerOf(running, 1))
  const founders = [1, 2, 3]
  const leftOf = (replicas: readonly number[]): number[] => replicas.filter((id) => !founders.includes(id))
  const named = (isLeft: (left: number) => boolean): string[] =>
    partitions.filter(({ replicas }) => isLeft(leftOf(replicas).length)).map(({ name }) => name)
  expect(named((left) => left === 1).length).toBeGreaterThan(0)

  await Promise.all(founders.map((id) => destroy(running, brokerOf(running, id))))
  for (const extra of extras) {
    process.kill(extra.pid, 'SIGKILL')
    await extra.stop()
  }
  extras = await Promise.all(added.map((port) => ExtraBroker.start(running, port)))
  const made = await planAt(running, added)
  const file = JSON.parse(readFileSync(path.join(running.dataDirectory, 'plan.json'), 'utf8')) as {
    readonly partitions: readonly { readonly name: string; readonly loss: string }[]
    readonly gone: readonly { readonly name: string }[]
  }
  expect(file.partitions.map(({ name }) => name)).toEqual(named((left) => left === 1))
  for (const { loss } of file.partitions) expect(loss).toMatch(/^offsets 0 to 2 are kept/)
  expect(file.gone.map(({ name }) => name)).toEqual(named((left) => left === 0))
  await applied(running, made.id)
  await Promise.all(
    partitions.map(async ({ name, replicas }) => {
      const partition = Number(name.split('.')[1])
      const answer = await produceTo(partition, `${partition}d`)
      if (leftOf(replicas).length > 0) expect(answer).toMatchObject({ status: 200, body: { offset: 3 } })
      else expect(answer.body).toMatchObject({ status: 'failure', retriable: true })
    }),
  )
})

test('a topic whose creation was stored and not answered is kept, and needs a plan of its own', async () => {
  const running = (cluster = await start(3))
  await running.api.must('POST', '/topics', { topic_name: 'early' })
  let leader = 0
  let body: Record<string, unknown> = {}
  await until(
    async () => {
      const { groups } = await viewOf(brokerOf(running, 1))
      leader = groups.find(({ name }) => name === 'metadata')!.leader
      if (leader === 0) return false
      const others = [1, 2, 3].filter((id) => id !== leader).map((id) => brokerOf(running, id))
      for (const { pid } of others) process.kill(pid, 'SIGSTOP')
      body = (await running.api.post('/topics', { topic_name: 'late' })).body
      // A leader that has noticed already that it is alone stores nothing.
      const isStored = body['outcome'] === 'unknown'
      if (isStored) await Promise.all(others.map((other) => destroy(running, other)))
      else for (const { pid } of others) process.kill(pid, 'SIGCONT')
      return isStored
    },
    60_000,
    () => JSON.stringify(body),
  )
  const first = await plan(running, [leader])
  expect(first.output).toMatch(/early\.1: /)
  expect(first.output).not.toMatch(/late/)
  const { code, output } = await apply(running, first.id)
  expect(output).toMatch(/late\.1: .*Make another plan now/)
  expect(code).toBe(0)
  const second = await plan(running, [leader], 'second.json')
  expect(second.output).toMatch(/late\.1: no message is known to be committed/)
  await applied(running, second.id, 'second.json')
  for (const topic of ['early', 'late']) await produce(running, topic, numbered(5))
  for (const topic of ['early', 'late']) expect(await consume(running, topic)).toEqual(numbered(5))
})
