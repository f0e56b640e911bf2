import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { Api } from '../api.js'
import { freePort } from '../local-cluster.js'
import type { Build } from './build.js'
import { MixedProcess } from './mixed-process.js'

const HOST = '127.0.0.1'
const BROKERS = [1, 2, 3]
const MANAGERS = [1, 2]

export interface LedPartition {
  readonly name: string
  readonly brokerId: number
}

/** A cluster whose processes are started one by one, each from the build that the test says. */
export class MixedCluster {
  readonly dataDirectory: string
  readonly brokers: readonly MixedProcess[]
  readonly writeManagers: readonly MixedProcess[]
  readonly readManagers: readonly MixedProcess[]
  readonly loadBalancer: MixedProcess
  readonly api: Api
  readonly #postgresUrl: string
  readonly #databases: readonly string[]

  private constructor(parts: {
    readonly dataDirectory: string
    readonly postgresUrl: string
    readonly ports: readonly number[]
  }) {
    const { dataDirectory, postgresUrl } = parts
    const ports = [...parts.ports]
    const clusterId = randomBytes(16).toString('hex')
    this.dataDirectory = dataDirectory
    this.#postgresUrl = postgresUrl
    this.#databases = BROKERS.map((id) => `mixed_${clusterId.slice(0, 8)}_${id}`)
    const common = { SLUICE_CLUSTER_ID: clusterId }
    const seats = BROKERS.map((id) => ({ id, port: ports.shift()! }))
    const bootstrap = seats.map(({ id, port }) => `${id}=${HOST}:${port}`).join(',')
    this.brokers = seats.map(
      ({ id, port }) =>
        new MixedProcess({
          app: 'broker',
          name: `broker-${id}`,
          port,
          env: {
            ...common,
            SLUICE_BOOTSTRAP_BROKERS: bootstrap,
            BROKER_ID: String(id),
            BROKER_PORT: String(port),
            BROKER_DATA_DIR: this.directoryOf(id),
            BROKER_DATABASE_URL: this.databaseUrl(id),
          },
        }),
    )
    const seeds = seats.map(({ port }) => `${HOST}:${port}`).join(',')
    const managers = (app: 'write-manager' | 'read-manager', prefix: string): readonly MixedProcess[] =>
      MANAGERS.map((id) => {
        const port = ports.shift()!
        const own = {
          [`${prefix}_HOST`]: HOST,
          [`${prefix}_PORT`]: String(port),
          [`${prefix}_ID`]: String(id),
        }
        return new MixedProcess({
          app,
          name: `${app}-${id}`,
          port,
          env: { ...common, SLUICE_BROKERS: seeds, ...own },
        })
      })
    this.writeManagers = managers('write-manager', 'WRITE_MANAGER')
    this.readManagers = managers('read-manager', 'READ_MANAGER')
    const port = ports.shift()!
    this.loadBalancer = new MixedProcess({
      app: 'load-balancer',
      name: 'load-balancer',
      port,
      env: {
        ...common,
        LOAD_BALANCER_HOST: HOST,
        LOAD_BALANCER_PORT: String(port),
        LOAD_BALANCER_WRITE_MANAGERS: addressesOf(this.writeManagers),
        LOAD_BALANCER_READ_MANAGERS: addressesOf(this.readManagers),
      },
    })
    this.api = new Api(port)
  }

  static async start(build: Build, postgresUrl: string): Promise<MixedCluster> {
    const dataDirectory = await mkdtemp(path.join(os.tmpdir(), 'sluice-mixed-'))
    const count = BROKERS.length + 2 * MANAGERS.length + 1
    const ports = await Promise.all(Array.from({ length: count }, () => freePort()))
    const cluster = new MixedCluster({ dataDirectory, postgresUrl, ports })
    try {
      // The brokers of the first hour need a majority to be ready; the others wait for them.
      await Promise.all(cluster.processes().map((process) => process.start(build)))
    } catch (error) {
      await cluster.destroy()
      throw error
    }
    return cluster
  }

  processes(): readonly MixedProcess[] {
    return [...this.brokers, ...this.writeManagers, ...this.readManagers, this.loadBalancer]
  }

  broker(id: number): MixedProcess {
    return this.brokers[id - 1]!
  }

  directoryOf(brokerId: number): string {
    return path.join(this.dataDirectory, `broker-${brokerId}`)
  }

  databaseUrl(brokerId: number): string {
    const url = new URL(this.#postgresUrl)
    url.pathname = `/${this.#databases[brokerId - 1]!}`
    return url.href
  }

  /** The process is replaced by one of the build, as an operator does it: one that serves, then the next. */
  async replace(process: MixedProcess, build: Build): Promise<void> {
    await process.stop()
    await process.start(build)
  }

  /** Who leads what, as the running brokers themselves say. */
  async led(): Promise<readonly LedPartition[]> {
    const led: LedPartition[] = []
    for (const [i, broker] of this.brokers.entries()) {
      if (broker.build === undefined) continue
      const partitions = (await this.statusOf(i + 1))['partitions'] as { name: string; role: string }[]
      for (const { name, role } of partitions) if (role === 'leader') led.push({ name, brokerId: i + 1 })
    }
    return led
  }

  async statusOf(brokerId: number): Promise<Record<string, unknown>> {
    const api = new Api(this.broker(brokerId).plan.port)
    try {
      return await api.must('GET', '/status')
    } finally {
      api.close()
    }
  }

  async query<Row extends pg.QueryResultRow>(brokerId: number, text: string): Promise<readonly Row[]> {
    const client = new pg.Client({ connectionString: this.databaseUrl(brokerId) })
    await client.connect()
    try {
      return (await client.query<Row>(text)).rows
    } finally {
      await client.end()
    }
  }

  async destroy(): Promise<void> {
    this.api.close()
    await Promise.all(this.processes().map((process) => process.stop()))
    const client = new pg.Client({ connectionString: this.#postgresUrl })
    await client.connect()
    for (const name of this.#databases) await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    await client.end()
    await rm(this.dataDirectory, { recursive: true, force: true, maxRetries: 5 })
  }
}

function addressesOf(processes: readonly MixedProcess[]): string {
  return processes.map(({ plan }) => `http://${HOST}:${plan.port}`).join(',')
}
