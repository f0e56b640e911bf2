import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { delay, messageOf } from '@sluice/foundation'
import { type Answer, Api } from './api.js'
import { type ClusterProcess, LocalCluster, until } from './local-cluster.js'

export interface KillManagersOptions {
  readonly durationMs: number
  /** One write manager and one load balancer are killed so often, in turn. */
  readonly everyMs: number
}

export interface KillManagersResult {
  readonly kills: number
  /** Calls that clients made, tries of the same call counted once. */
  readonly calls: number
  /** Calls that needed their second try. */
  readonly retried: number
  /** Messages that were answered as stored by an earlier try. */
  readonly duplicatesSuppressed: number
  readonly messages: number
  readonly delivered: number
  readonly longestCallMs: number
  /** What must not be; empty when the promise was kept. */
  readonly faults: readonly string[]
}

const TOPIC = 'killed'
const PARTITION_MESSAGES_MAX = 1000
const RECOVERY_LIMIT_MS = 30_000

interface Place {
  readonly partition: string
  readonly offset: number
}

/** A client that knows both load balancers and tries each call twice at most, at one and at the other. */
class TwiceClient {
  calls = 0
  retried = 0
  longestMs = 0
  readonly faults: string[]
  readonly #apis: readonly Api[]
  #turn = 0

  constructor(ports: readonly number[], faults: string[]) {
    this.#apis = ports.map((port) => new Api(port))
    this.faults = faults
  }

  /** @returns undefined when both tries failed, which is a fault */
  async call(
    path: string,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<Record<string, unknown> | undefined> {
    const startedMs = performance.now()
    this.calls++
    const turn = this.#turn++
    const failures: string[] = []
    for (let attempt = 0; attempt < 2; attempt++) {
      const api = this.#apis[(turn + attempt) % this.#apis.length]!
      const outcome = await api.raw('POST', path, JSON.stringify(body), headers).catch(messageOf)
      this.longestMs = Math.max(this.longestMs, performance.now() - startedMs)
      if (typeof outcome !== 'string' && outcome.status === 200) {
        if (attempt > 0) this.retried++
        return outcome.body
      }
      failures.push(textOf(outcome))
    }
    this.faults.push(`${path} failed twice: ${failures.join(' | ')}`)
    return undefined
  }

  close(): void {
    for (const api of this.#apis) api.close()
  }
}

function textOf(outcome: Answer | string): string {
  return typeof outcome === 'string' ? outcome : `${outcome.status} ${JSON.stringify(outcome.body)}`
}

/** A stream of messages in order, one call at a time. */
interface Lane {
  readonly name: string
  /** Messages of a call; more than one are known by the call's request id, single ones by their own. */
  readonly perCall: number
  readonly key: string | undefined
  readonly acknowledged: Map<string, Place>
}

/** Two write managers and two load balancers under load, one of each killed again and again. */
export async function runKillManagers(options: KillManagersOptions): Promise<KillManagersResult> {
  const cluster = await LocalCluster.start({
    args: ['--write-managers', '2', '--load-balancers', '2'],
    env: { SLUICE_PARTITION_MESSAGES_MAX: String(PARTITION_MESSAGES_MAX) },
  })
  const faults: string[] = []
  const ports = cluster
    .processes()
    .filter(({ kind }) => kind === 'load-balancer')
    .map(({ port }) => port)
  const client = new TwiceClient(ports, faults)
  try {
    const producer = idOf(await client.call('/producer/register', { topic_name: TOPIC }), 'producer_id')
    const consumer = idOf(await client.call('/consumer/register', { topic_name: TOPIC }), 'consumer_id')
    const lanes = [
      ...[1, 2, 3].map((n) => lane(`single-${n}`, 1, undefined)),
      ...[1, 2].map((n) => lane(`keyed-${n}`, 1, `key-${n}`)),
      ...[1, 2].map((n) => lane(`batch-${n}`, 5, undefined)),
    ]
    const stop = new AbortController()
    const reader = new Reader(client, consumer)
    let suppressed = 0
    const running = [
      ...lanes.map((one) => produce(client, one, producer, stop.signal, (count) => (suppressed += count))),
      reader.run(stop.signal),
      register(client, stop.signal),
    ]
    const kills = await killInTurn(cluster, options, faults)
    stop.abort()
    await Promise.all(running)
    await reader.drain()
    const stored = await readAll(client)
    faults.push(...faultsOf(lanes, stored, reader.delivered))
    return {
      kills,
      calls: client.calls,
      retried: client.retried,
      duplicatesSuppressed: suppressed,
      messages: lanes.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0),
      delivered: reader.delivered.length,
      longestCallMs: client.longestMs,
      faults,
    }
  } finally {
    client.close()
    await cluster.destroy()
  }
}

function lane(name: string, perCall: number, key: string | undefined): Lane {
  return { name, perCall, key, acknowledged: new Map() }
}

async function killInTurn(
  cluster: LocalCluster,
  { durationMs, everyMs }: KillManagersOptions,
  faults: string[],
): Promise<number> {
  const endMs = performance.now() + durationMs
  let kills = 0
  for (let round = 0; performance.now() < endMs; round++) {
    await delay(everyMs / 2)
    const targets = ['write-manager', 'load-balancer'].map((kind) => cluster.process(kind, round % 2))
    for (const target of targets) cluster.kill(target)
    kills += targets.length
    await delay(everyMs / 2)
    // The next ones are killed only when these serve again: of each kind one copy is always there.
    await Promise.all(targets.map((target) => untilReplaced(cluster, target))).catch((error: unknown) =>
      faults.push(messageOf(error)),
    )
  }
  return kills
}

async function untilReplaced(cluster: LocalCluster, killed: ClusterProcess): Promise<void> {
  const api = new Api(killed.port)
  try {
    await until(
      async () => {
        const now = cluster.processes().find(({ name }) => name === killed.name)
        return now !== undefined && now.pid !== killed.pid && (await api.get('/health/ready')).status === 200
      },
      RECOVERY_LIMIT_MS,
      () => `${killed.name} did not come back`,
    )
  } finally {
    api.close()
  }
}

async function produce(
  client: TwiceClient,
  { name, perCall, key, acknowledged }: Lane,
  producerId: number,
  stop: AbortSignal,
  onSuppressed: (count: number) => void,
): Promise<void> {
  const keyed = key === undefined ? {} : { key }
  for (let n = 0; !stop.aborted; n += perCall) {
    const values = Array.from({ length: perCall }, (_, i) => `${name}#${n + i}`)
    const entries = values.map((message) => ({ message, ...keyed }))
    const common = { producer_id: producerId, topic_name: TOPIC }
    const body =
      perCall === 1
        ? await client.call('/producer/produce', { ...common, ...entries[0], message_id: values[0] })
        : await client.call('/producer/produce', { ...common, messages: entries }, newRequestId())
    // Told as a fault by the client: the lane ends, since it does not know what is stored.
    if (body === undefined) return
    const places = (body['messages'] ?? [body]) as readonly (Place & { readonly duplicate?: boolean })[]
    for (const [i, { partition, offset }] of places.entries())
      acknowledged.set(values[i]!, { partition, offset })
    onSuppressed(places.filter(({ duplicate }) => duplicate === true).length)
    await delay(5, stop).catch(() => undefined)
  }
}

async function register(client: TwiceClient, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    await client.call('/producer/register', { topic_name: TOPIC })
    await client.call('/consumer/register', { topic_name: TOPIC })
    await delay(200, stop).catch(() => undefined)
  }
}

interface DeliveredMessage extends Place {
  readonly message: string
}

/** Reads with automatic acknowledgement; each call under an id of its own, which its second try has too. */
class Reader {
  readonly delivered: DeliveredMessage[] = []
  readonly #client: TwiceClient
  readonly #consumerId: number

  constructor(client: TwiceClient, consumerId: number) {
    this.#client = client
    this.#consumerId = consumerId
  }

  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) await this.#next(100)
  }

  async drain(): Promise<void> {
    while ((await this.#next(0)) > 0);
  }

  async #next(waitMs: number): Promise<number> {
    const call = { consumer_id: this.#consumerId, topic_name: TOPIC, max_messages: 100, wait_ms: waitMs }
    const body = await this.#client.call('/consumer/consume', call, newRequestId())
    const messages = (body?.['messages'] ?? []) as DeliveredMessage[]
    this.delivered.push(...messages)
    return messages.length
  }
}

async function readAll(client: TwiceClient): Promise<readonly DeliveredMessage[]> {
  const reader = new Reader(
    client,
    idOf(await client.call('/consumer/register', { topic_name: TOPIC }), 'consumer_id'),
  )
  await reader.drain()
  return reader.delivered
}

function faultsOf(
  lanes: readonly Lane[],
  stored: readonly DeliveredMessage[],
  delivered: readonly DeliveredMessage[],
): readonly string[] {
  const faults: string[] = []
  const there = new Map(stored.map((one) => [`${one.partition}@${one.offset}`, one.message]))
  for (const { acknowledged } of lanes)
    for (const [message, { partition, offset }] of acknowledged)
      if (there.get(`${partition}@${offset}`) !== message)
        faults.push(`${message} is not at ${partition}@${offset}`)
  faults.push(...repeated('stored', stored), ...repeated('delivered', delivered))
  if (delivered.length !== stored.length)
    faults.push(`${delivered.length} messages were delivered, ${stored.length} are stored`)
  const next = new Map<string, number>()
  for (const { partition, offset } of delivered) {
    const expected = next.get(partition) ?? 0
    if (offset !== expected) faults.push(`${partition}@${offset} was delivered when ${expected} was next`)
    next.set(partition, offset + 1)
  }
  return faults
}

function repeated(what: string, messages: readonly DeliveredMessage[]): readonly string[] {
  const places = new Map<string, string>()
  const faults: string[] = []
  for (const { message, partition, offset } of messages) {
    const before = places.get(message)
    if (before !== undefined) faults.push(`${message} was ${what} at ${before} and ${partition}@${offset}`)
    places.set(message, `${partition}@${offset}`)
  }
  return faults
}

function newRequestId(): Record<string, string> {
  return { 'x-request-id': randomBytes(16).toString('hex') }
}

function idOf(body: Record<string, unknown> | undefined, field: string): number {
  if (body === undefined) throw new Error(`there is no ${field}`)
  return body[field] as number
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { minutes: { type: 'string', default: '5' }, every: { type: 'string', default: '10' } },
  })
  const result = await runKillManagers({
    durationMs: Number(values.minutes) * 60_000,
    everyMs: Number(values.every) * 1000,
  })
  const { faults, ...numbers } = result
  console.log(JSON.stringify({ ...numbers, longestCallMs: Math.round(numbers.longestCallMs) }))
  for (const fault of faults.slice(0, 30)) console.log(fault)
  console.log(faults.length === 0 ? 'the promise was kept' : `${faults.length} faults`)
  if (faults.length > 0) process.exitCode = 1
}

if (process.argv[1]?.endsWith('kill-managers.js') === true) await main()
