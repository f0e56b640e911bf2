import { parseArgs } from 'node:util'
import { Api } from './api.js'
import { BackgroundLoad, readAll } from './background-load.js'
import { ExtraBroker } from './extra-broker.js'
import { LocalCluster, until } from './local-cluster.js'

export interface ClusterChangeOptions {
  readonly partitions: number
  /** There before anything moves. */
  readonly messages: number
  /** Messages a second, one per call, as long as things move. */
  readonly rate: number
  /** For each step. */
  readonly limitMs: number
  readonly say?: (text: string) => void
}

export interface ClusterChangeResult {
  readonly steps: readonly { readonly name: string; readonly seconds: number; readonly moves: number }[]
  /** Produced while things moved. */
  readonly acknowledged: number
  readonly perSecond: number
  readonly failedCalls: number
  readonly longestGapMs: number
  /** In the end, of one broker with the most and one with the fewest. */
  readonly width: { readonly replicas: number; readonly preferred: number; readonly leads: number }
  /** What must not be; empty when the promise was kept. */
  readonly faults: readonly string[]
}

interface BrokerRow {
  readonly broker_id: number
  readonly state: string
  readonly replicas: number
  readonly preferred: number
  readonly leads: number | null
  readonly version: string | null
  readonly disk: { readonly free_bytes: number } | null
}

const TOPIC = 'change'
const REPLICAS = 3
const MESSAGES_A_CALL = 500
/** No call may fail for longer. */
const GAP_MS_MAX = 2000

/** Three brokers under load; two more come, one of the first goes, and everything is even again after each. */
export async function runClusterChange(options: ClusterChangeOptions): Promise<ClusterChangeResult> {
  const cluster = await LocalCluster.start()
  const extras: ExtraBroker[] = []
  let load: BackgroundLoad | undefined
  try {
    const { say = () => undefined, messages, rate } = options
    await cluster.api.must('POST', '/topics', { topic_name: TOPIC, partitions: options.partitions })
    const producer = await cluster.api.registerProducer(TOPIC)
    const stock = await stockUp(cluster.api, producer, messages)
    say(`${stock.length} messages in ${options.partitions} partitions`)
    load = new BackgroundLoad(cluster.api, TOPIC, producer, { rate })
    const startedMs = performance.now()
    const change = new Change(cluster, options)
    await change.add(extras)
    await change.remove(1)
    await change.rebalance([2, 3, 4, 5])
    const tookMs = performance.now() - startedMs
    const { acknowledged, failed, longestGapMs } = await load.stop()
    say(`reads ${stock.length + acknowledged.length} messages back`)
    const there = await readAll(cluster.api, TOPIC)
    const perSecond = (acknowledged.length * 1000) / tookMs
    const faults = [...change.faults, ...messageFaults([...stock, ...acknowledged], there)]
    const voters = await metadataVoters(cluster.process('broker', 1).port)
    if (voters.join() !== '2,3,4,5' && voters.join() !== '2,3,4')
      faults.push(`brokers ${voters.join(', ')} vote on the metadata`)
    const width = widthOf(await brokersOf(cluster.api))
    const numbers = { acknowledged: acknowledged.length, perSecond, failedCalls: failed, longestGapMs }
    return { steps: change.steps, ...numbers, width, faults }
  } finally {
    await load?.stop()
    await Promise.all(extras.map((extra) => extra.stop()))
    await cluster.destroy()
  }
}

/** Changes one after the other, each timed until everything is even. */
class Change {
  readonly steps: { name: string; seconds: number; moves: number }[] = []
  readonly faults: string[] = []
  readonly #cluster: LocalCluster
  readonly #options: ClusterChangeOptions

  constructor(cluster: LocalCluster, options: ClusterChangeOptions) {
    this.#cluster = cluster
    this.#options = options
  }

  /** Two brokers, by the API; they get their share by themselves. */
  async add(extras: ExtraBroker[]): Promise<void> {
    await this.#step('two brokers are added', async () => {
      for (const id of [4, 5]) {
        const extra = await ExtraBroker.start(this.#cluster)
        extras.push(extra)
        const { broker_id: given } = await this.#cluster.api.must('POST', '/broker', { port: extra.port })
        if (given !== id) this.faults.push(`the broker that came became ${String(given)}, not ${id}`)
      }
      await this.#even([1, 2, 3, 4, 5])
    })
    for (const { broker_id: id, version, disk } of await brokersOf(this.#cluster.api))
      if (version === null || disk === null) this.faults.push(`broker ${id} tells no version and disk`)
  }

  async remove(id: number): Promise<void> {
    await this.#step(`broker ${id} is removed`, async () => {
      const { status, body } = await this.#cluster.api.raw('DELETE', `/broker/${id}`, undefined)
      if (status !== 200) throw new Error(`broker ${id} is not removed: ${JSON.stringify(body)}`)
      let left: unknown
      await until(
        async () => {
          left = [await brokersOf(this.#cluster.api), await this.#plan()]
          return (left as [BrokerRow[]])[0].every((row) => row.broker_id !== id)
        },
        this.#options.limitMs,
        () => `broker ${id} is not removed: ${JSON.stringify(left).slice(0, 4000)}`,
      )
    })
  }

  async rebalance(brokerIds: readonly number[]): Promise<void> {
    await this.#step('what is left is made even', async () => {
      const { api } = this.#cluster
      const shown = (await api.must('POST', '/rebalance?dry_run=true'))['moves_total']
      const begun = (await api.must('POST', '/rebalance'))['moves_total']
      if (shown !== begun) this.faults.push(`${String(shown)} moves were shown, ${String(begun)} begun`)
      await this.#even(brokerIds)
    })
  }

  async #step(name: string, run: () => Promise<void>): Promise<void> {
    const startedMs = performance.now()
    await run()
    const seconds = (performance.now() - startedMs) / 1000
    const moves = (await this.#plan())['moves_total'] as number
    this.steps.push({ name, seconds, moves })
    this.#options.say?.(`${name}: ${seconds.toFixed(1)} s, ${moves} moves`)
  }

  /** No plan runs, everybody has his share, and leads his share in fact. */
  async #even(brokerIds: readonly number[]): Promise<void> {
    let rows: BrokerRow[] = []
    let plan: Record<string, unknown> = {}
    await until(
      async () => {
        rows = await brokersOf(this.#cluster.api)
        plan = await this.#plan()
        const { replicas, preferred, leads } = widthOf(rows)
        return (
          plan['state'] === 'done' &&
          rows.length === brokerIds.length &&
          rows.every((row) => brokerIds.includes(row.broker_id) && row.state === 'active') &&
          Math.max(replicas, preferred, leads) <= 1 &&
          // Brokers are asked one after the other: a leadership may change hands meanwhile.
          rows.reduce((sum, row) => sum + (row.leads ?? 0), 0) === this.#options.partitions
        )
      },
      this.#options.limitMs,
      () => `not even: ${JSON.stringify(rows)} ${JSON.stringify(plan).slice(0, 2000)}`,
    )
    const held = rows.reduce((sum, row) => sum + row.replicas, 0)
    if (held !== this.#options.partitions * REPLICAS) this.faults.push(`${held} replicas are held`)
  }

  async #plan(): Promise<Record<string, unknown>> {
    return (await this.#cluster.api.get('/rebalance')).body
  }
}

async function stockUp(api: Api, producerId: number, count: number): Promise<readonly string[]> {
  const stock: string[] = []
  for (let i = 0; i < count; i += MESSAGES_A_CALL) {
    const length = Math.min(MESSAGES_A_CALL, count - i)
    const messages = Array.from({ length }, (_, n) => `stock-${i + n}`)
    await api.must('POST', '/producer/produce', { producer_id: producerId, topic_name: TOPIC, messages })
    stock.push(...messages)
  }
  return stock
}

async function brokersOf(api: Api): Promise<BrokerRow[]> {
  return (await api.must('GET', '/brokers'))['brokers'] as BrokerRow[]
}

function widthOf(rows: readonly BrokerRow[]): ClusterChangeResult['width'] {
  const width = (counts: readonly (number | null)[]): number =>
    Math.max(...counts.map((count) => count ?? Infinity)) - Math.min(...counts.map((count) => count ?? 0))
  return {
    replicas: width(rows.map((row) => row.replicas)),
    preferred: width(rows.map((row) => row.preferred)),
    leads: width(rows.map((row) => row.leads)),
  }
}

async function metadataVoters(port: number): Promise<number[]> {
  const api = new Api(port)
  try {
    const { metadata } = await api.must('GET', '/status')
    return (metadata as { voters: number[] }).voters.toSorted((a, b) => a - b)
  } finally {
    api.close()
  }
}

function messageFaults(acknowledged: readonly string[], there: readonly string[]): readonly string[] {
  const known = new Set(there)
  const faults: string[] = []
  const lost = acknowledged.filter((message) => !known.has(message))
  if (lost.length > 0) faults.push(`${lost.length} messages are lost: ${lost.slice(0, 5).join(', ')} …`)
  if (known.size < there.length) faults.push(`${there.length - known.size} messages are there twice`)
  return faults
}

function numberOf(text: string, name: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} is a number from 1`)
  return value
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      messages: { type: 'string', default: '100000' },
      rate: { type: 'string', default: '300' },
      partitions: { type: 'string', default: '30' },
      limit: { type: 'string', default: '300' },
    },
  })
  const { steps, faults, width, ...numbers } = await runClusterChange({
    messages: numberOf(values.messages, 'messages'),
    rate: numberOf(values.rate, 'rate'),
    partitions: numberOf(values.partitions, 'partitions'),
    limitMs: numberOf(values.limit, 'limit') * 1000,
    say: (text) => console.log(text),
  })
  const { acknowledged, perSecond, failedCalls, longestGapMs } = numbers
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0)
  console.log(`in all: ${seconds.toFixed(1)} s`)
  console.log(
    `${acknowledged} messages produced meanwhile (${Math.round(perSecond)}/s), ${failedCalls} calls failed, longest gap ${Math.round(longestGapMs)} ms`,
  )
  console.log(
    `the fullest and the emptiest broker differ by ${width.replicas} replicas, ${width.preferred} preferred and ${width.leads} actual leaderships`,
  )
  for (const fault of faults.slice(0, 30)) console.log(`FAILED: ${fault}`)
  const isLate = longestGapMs >= GAP_MS_MAX
  if (isLate) console.log(`MISSED: a gap is to be under ${GAP_MS_MAX} ms`)
  if (isLate || faults.length > 0) process.exitCode = 1
}

if (process.argv[1]?.endsWith('cluster-change.js') === true) await main()
