import { readFileSync } from 'node:fs'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { RecoveryView } from '@sluice/contracts'
import type { Random } from '@sluice/foundation'
import { Api } from '../api.js'
import { ExtraBroker } from '../extra-broker.js'
import { type ClusterProcess, LocalCluster, until } from '../local-cluster.js'
import { shiftClock } from './broker-clock.js'
import { BrokerLog } from './broker-log.js'
import { Databases } from './databases.js'
import { LinkProxy } from './link-proxy.js'
import { SmallDisk } from './small-disk.js'
import { type UnsyncedRange, unsyncedRanges } from './sync-journal.js'

export interface ChaosClusterOptions {
  readonly brokers: number
  readonly random: Random
  /** Puts the last broker's directory on a disk that can be made full. */
  readonly hasSmallDisk: boolean
  /** Empty for the code as it is. */
  readonly mutant: string
  /** Without the module that is preloaded into brokers: nothing between them is in the way of what is measured. */
  readonly isBare?: boolean
  /** More for the environment of its processes. */
  readonly env?: NodeJS.ProcessEnv
}

export interface AddedBroker {
  readonly id: number
  readonly extra: ExtraBroker
}

interface BrokerRow {
  readonly broker_id: number
  readonly port: number
}

export interface BrokerStatus {
  readonly brokerId: number
  readonly partitions: readonly {
    readonly name: string
    readonly role: string
    readonly start: number
    readonly end: number
    readonly materialised: number
  }[]
}

/** Read managers, write managers and load balancers: so many of each. */
export const COPIES = 2
const PRELOAD = new URL('preload.js', import.meta.url)
export const FRONT_KINDS = ['write-manager', 'read-manager', 'load-balancer'] as const
/** By name: those that connect to brokers. */
export const MANAGERS = ['write-manager', 'read-manager'].flatMap((kind) =>
  Array.from({ length: COPIES }, (_, i) => `${kind}-${i + 1}`),
)
export const RETENTION_CHECK_MS = 500
const GONE_LIMIT_MS = 60_000
const SMALL_DISK_LIMIT_MS = 180_000

/** A local cluster whose every part can be broken by itself. */
export class ChaosCluster {
  readonly brokerIds: readonly number[]
  readonly databases: Databases
  readonly links: LinkProxy
  readonly disk: SmallDisk | undefined
  readonly #directory: string
  readonly #cluster: LocalCluster
  readonly #ports: readonly number[]
  readonly #extras = new Set<ExtraBroker>()
  readonly #leapt = new Map<number, number>()

  private constructor(parts: {
    readonly brokerIds: readonly number[]
    readonly directory: string
    readonly databases: Databases
    readonly links: LinkProxy
    readonly cluster: LocalCluster
    readonly hasSmallDisk: boolean
  }) {
    this.brokerIds = parts.brokerIds
    this.databases = parts.databases
    this.links = parts.links
    this.#directory = parts.directory
    this.#cluster = parts.cluster
    this.#ports = parts.cluster
      .processes()
      .filter(({ kind }) => kind === 'load-balancer')
      .map(({ port }) => port)
    this.disk = parts.hasSmallDisk ? new SmallDisk(this.#brokerDirectory(this.brokerIds.length)) : undefined
  }

  static async start(options: ChaosClusterOptions): Promise<ChaosCluster> {
    const { brokers, random, hasSmallDisk, mutant } = options
    const brokerIds = Array.from({ length: brokers }, (_, i) => i + 1)
    const directory = await mkdtemp(path.join(os.tmpdir(), 'sluice-chaos-'))
    const databases = await Databases.start(directory, brokerIds)
    const links = await LinkProxy.open(brokerIds, random, (id) => portOf(directory, id), MANAGERS)
    let cluster: ChaosCluster | undefined
    try {
      const env = {
        SLUICE_DATABASE_URLS: databases.urls,
        SLUICE_RESTART_DELAY_MS: '300',
        // Brokers wait at their gates, or for databases that are down, as long as a fault holds.
        SLUICE_START_TIMEOUT_MS: '600000',
        SLUICE_PARTITION_MESSAGES_MAX: '3000',
        BROKER_RETENTION_CHECK_MS: String(RETENTION_CHECK_MS),
        // Small ones, so that short runs fill, change and free them.
        BROKER_LOG_SEGMENT_BYTES: String(1024 * 1024),
        // Little memory, so that messages come from the log and from databases as well, in every run.
        BROKER_LOG_CACHE_BYTES: String(1024 * 1024),
        BROKER_RECENT_BYTES: '16384',
        BROKER_UNMATERIALISED_MEMORY_BYTES: '16384',
        ...(options.isBare === true ? {} : { NODE_OPTIONS: `--import=${PRELOAD.href}` }),
        CHAOS_DIRECTORY: directory,
        CHAOS_LINKS: links.table,
        CHAOS_MUTANT: mutant,
        ...options.env,
      }
      const local = await LocalCluster.start({
        brokers,
        args: ['--write-managers', String(COPIES), '--load-balancers', String(COPIES)],
        env,
      })
      cluster = new ChaosCluster({ brokerIds, directory, databases, links, cluster: local, hasSmallDisk })
      await cluster.#moveToSmallDisk()
      return cluster
    } catch (error) {
      if (cluster !== undefined) await cluster.destroy()
      else {
        await links.close()
        await databases.stopAll()
      }
      throw error
    }
  }

  /** Of the load balancers. */
  get ports(): readonly number[] {
    return this.#ports
  }

  /** What the supervisor and its processes said last. */
  get output(): string {
    return this.#cluster.output
  }

  process(kind: string, id: number): ClusterProcess | undefined {
    return this.#cluster.processes().find((one) => one.kind === kind && one.id === id)
  }

  /** A process that does not run at the moment cannot be hit, which is fine. */
  signal(kind: string, id: number, signal: NodeJS.Signals): void {
    const target = this.process(kind, id)
    if (target === undefined) return
    try {
      process.kill(target.pid, signal)
    } catch {
      // It ended by itself a moment ago.
    }
  }

  /** Kills a broker; the supervisor starts it again, and it waits until it is let in. */
  async holdBroker(id: number): Promise<void> {
    const before = this.process('broker', id)?.pid
    await writeFile(this.#gate(id), '')
    this.signal('broker', id, 'SIGKILL')
    if (before === undefined) return
    await until(
      () => !isRunning(before),
      GONE_LIMIT_MS,
      () => `broker ${id} does not end`,
    )
  }

  async letBrokerIn(id: number): Promise<void> {
    await rm(this.#gate(id), { force: true })
  }

  /** Moves a broker's clocks; what its monotonic clock has leapt is never taken back. */
  moveClock(id: number, { wallMs, leapMs = 0 }: { readonly wallMs: number; readonly leapMs?: number }): void {
    const monotonicMs = (this.#leapt.get(id) ?? 0) + leapMs
    this.#leapt.set(id, monotonicMs)
    shiftClock(path.join(this.#directory, `broker-${id}.clock`), { wallMs, monotonicMs })
  }

  log(brokerId: number): BrokerLog {
    return new BrokerLog(this.#brokerDirectory(brokerId))
  }

  unsynced(brokerId: number): readonly UnsyncedRange[] {
    return unsyncedRanges(path.join(this.#directory, `broker-${brokerId}.journal`))
  }

  async isReady(kind: string, id: number): Promise<boolean> {
    const target = this.process(kind, id)
    return target !== undefined && (await this.#ask(target.port, '/health/ready')) !== undefined
  }

  /** Waits until every process serves; what does not in time is named. */
  async untilReady(limitMs: number): Promise<readonly string[]> {
    const wanted = [
      ...this.brokerIds.map((id) => ({ kind: 'broker', id })),
      ...FRONT_KINDS.flatMap((kind) => Array.from({ length: COPIES }, (_, i) => ({ kind, id: i + 1 }))),
    ]
    const end = performance.now() + limitMs
    const missing = await Promise.all(
      wanted.map(async ({ kind, id }) => {
        try {
          await until(
            () => this.isReady(kind, id),
            Math.max(0, end - performance.now()),
            () => '',
          )
          return []
        } catch {
          return [`${kind} ${id}`]
        }
      }),
    )
    return missing.flat()
  }

  /** What every broker says of its partitions; undefined for one that does not answer. */
  async statuses(): Promise<readonly (BrokerStatus | undefined)[]> {
    return Promise.all(
      this.brokerIds.map(async (brokerId) => {
        const target = this.process('broker', brokerId)
        if (target === undefined) return undefined
        const body = await this.#ask(target.port, '/status')
        if (body === undefined) return undefined
        return { brokerId, partitions: body['partitions'] as BrokerStatus['partitions'] }
      }),
    )
  }

  /** What each broker says of its replicas; undefined where it does not answer. */
  async recoveryViews(): Promise<readonly (RecoveryView | undefined)[]> {
    return Promise.all(
      this.brokerIds.map(async (id) => {
        const target = this.process('broker', id)
        return target === undefined
          ? undefined
          : ((await this.#ask(target.port, '/recovery')) as unknown as RecoveryView | undefined)
      }),
    )
  }

  /** What every process wrote. */
  async copyLogs(directory: string): Promise<void> {
    await cp(path.join(this.#cluster.dataDirectory, 'logs'), directory, { recursive: true })
  }

  /** The broker says that its database has what it should, and the database does have it. */
  async hasWholeDatabase(brokerId: number): Promise<boolean> {
    const target = this.process('broker', brokerId)
    const body = target === undefined ? undefined : await this.#ask(target.port, '/status')
    if (body?.['database'] !== 'ok') return false
    const ranges = await this.databases.ranges(brokerId)
    const partitions = body['partitions'] as BrokerStatus['partitions']
    return partitions.every(({ name, materialised }) => (ranges.get(name)?.end ?? -1) >= materialised)
  }

  /** The broker has lost nothing of its log, or knows again what it may have forgotten. */
  async hasWholeLog(brokerId: number): Promise<boolean> {
    const target = this.process('broker', brokerId)
    const body = target === undefined ? undefined : await this.#ask(target.port, '/status')
    return body !== undefined && body['lostLog'] === null
  }

  /** The end of what a broker's own log file says. */
  brokerSaid(brokerId: number, lines: number): readonly string[] {
    const file = path.join(this.#cluster.dataDirectory, 'logs', `broker-${brokerId}.log`)
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines)
  }

  /** One more broker, which takes its share of the partitions; it is tried until the cluster has taken it. */
  async addBroker(limitMs: number): Promise<AddedBroker> {
    const extra = await ExtraBroker.start(this.#cluster)
    this.#extras.add(extra)
    const api = new Api(...this.#ports)
    try {
      let id: number | undefined
      await until(
        async () => {
          await api.post('/broker', { port: extra.port })
          const rows = (await api.must('GET', '/brokers'))['brokers'] as readonly BrokerRow[]
          id = rows.find(({ port }) => port === extra.port)?.broker_id
          return id !== undefined
        },
        limitMs,
        () => 'the broker is not added',
      )
      return { id: id!, extra }
    } finally {
      api.close()
    }
  }

  /** Everything that the broker has goes to others, and then it goes itself. */
  async removeBroker({ id, extra }: AddedBroker, limitMs: number): Promise<void> {
    const api = new Api(...this.#ports)
    try {
      await until(
        async () => {
          await api.raw('DELETE', `/broker/${id}`, undefined)
          const rows = (await api.must('GET', '/brokers'))['brokers'] as readonly BrokerRow[]
          return rows.every(({ broker_id }) => broker_id !== id)
        },
        limitMs,
        () => `broker ${id} is not removed`,
      )
    } finally {
      api.close()
    }
    this.#extras.delete(extra)
    await extra.stop()
  }

  /** Ends everything; the data goes unless it is to be looked at. */
  async destroy(): Promise<void> {
    for (const id of this.brokerIds) {
      await this.letBrokerIn(id)
      this.signal('broker', id, 'SIGCONT')
    }
    this.links.openAll()
    await Promise.all(Array.from(this.#extras, (extra) => extra.stop()))
    await this.#cluster.down()
    await this.disk?.close()
    await this.#cluster.destroy()
    await this.links.close()
    await this.databases.stopAll()
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }

  async #moveToSmallDisk(): Promise<void> {
    const id = this.brokerIds.length
    if (this.disk === undefined) return
    await this.holdBroker(id)
    await this.disk.moveIn()
    await this.letBrokerIn(id)
    const missing = await this.untilReady(SMALL_DISK_LIMIT_MS)
    if (missing.length > 0) throw new Error(`${missing.join(', ')} did not come back on the small disk`)
  }

  async #ask(port: number, url: string): Promise<Record<string, unknown> | undefined> {
    const api = new Api(port)
    try {
      const answer = await api.get(url)
      return answer.status === 200 ? answer.body : undefined
    } catch {
      return undefined
    } finally {
      api.close()
    }
  }

  #brokerDirectory(id: number): string {
    return path.join(this.#cluster.dataDirectory, `broker-${id}`)
  }

  #gate(id: number): string {
    return path.join(this.#directory, `broker-${id}.gate`)
  }
}

function portOf(directory: string, brokerId: number): number | undefined {
  try {
    return Number(readFileSync(path.join(directory, `broker-${brokerId}.port`), 'utf8'))
  } catch {
    return undefined
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
