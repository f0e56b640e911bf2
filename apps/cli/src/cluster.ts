import { join } from 'node:path'
import { type Clock, messageOf, toError } from '@sluice/foundation'
import type { ProcessEntry } from './cluster-file.js'
import { type ClusterShape, planBrokers, planFront, type ProcessScripts } from './cluster-plan.js'
import type { DatabaseServer } from './database-server.js'
import { LogFile } from './log-file.js'
import {
  ManagedProcess,
  type ProcessListener,
  ProcessStartError,
  type ProcessTimes,
} from './managed-process.js'
import type { ProcessPlan } from './process-plan.js'
import type { Terminal } from './terminal.js'

export interface ClusterParts {
  readonly shape: ClusterShape
  /** It ran before: one broker that cannot start is no reason to keep the others from it. */
  readonly isExisting: boolean
  readonly ports: ReadonlyMap<string, number>
  readonly scripts: ProcessScripts
  /** What every process gets, before its own settings. */
  readonly baseEnv: Readonly<Record<string, string>>
  readonly databasePrefix: string
  /** Opens the database server; `changed` is told when its process is another one. */
  readonly openDatabases: (changed: () => void) => Promise<DatabaseServer>
  readonly times: ProcessTimes
  readonly terminal: Terminal
  readonly clock: Clock
  /** Keeps the state where a later start finds it. */
  readonly save: (processes: readonly ProcessEntry[], postgresUrl: string | null) => void
}

/** The processes of a cluster on this machine: started side by side, kept running, stopped in order. */
export class Cluster implements ProcessListener {
  readonly #parts: ClusterParts
  readonly #logs = new Map<string, LogFile>()
  readonly #front: readonly ManagedProcess[]
  #brokers: readonly ManagedProcess[] = []
  /** Brokers that ended before they served. */
  readonly #failed = new Set<ManagedProcess>()
  #databases: Promise<DatabaseServer> | undefined
  #server: DatabaseServer | undefined
  #stopping: Promise<void> | undefined

  constructor(parts: ClusterParts) {
    this.#parts = parts
    this.#front = planFront(parts.shape, parts.ports, parts.scripts).map((plan) => this.#manage(plan))
  }

  /**
   * Resolves when every process serves. Managers and load balancer start while PostgreSQL does; they wait
   * for the brokers. A failed start leaves processes running until `stop` is called. In a cluster that ran before,
   * brokers that end are started again and not waited for, unless they all do; the rest then waits as long as it takes, so
   * that what is left can be looked at, and repaired.
   *
   * @throws ProcessStartError, or whatever the database server says
   */
  async start(): Promise<void> {
    const { shape, terminal, databasePrefix } = this.#parts
    this.#databases = this.#parts.openDatabases(() => this.changed())
    const backReady = this.#databases.then(async (server) => {
      this.#server = server
      this.changed()
      const urls = new Map<number, string>()
      for (let id = 1; id <= shape.brokerCount; id += 1)
        urls.set(id, await server.database(`${databasePrefix}${id}`))
      terminal.progress(
        server.pid === null ? 'PostgreSQL reached' : `PostgreSQL ready on port ${server.port ?? 0}`,
      )
      if (this.#stopping !== undefined) throw new Error('the start was given up')
      this.#brokers = planBrokers(shape, this.#parts.ports, urls, this.#parts.scripts).map((plan) =>
        this.#manage(plan),
      )
      await this.#startAll('broker', this.#brokers)
    })
    const ofKind = (kind: ProcessPlan['kind']): ManagedProcess[] =>
      this.#front.filter(({ plan }) => plan.kind === kind)
    await Promise.all([
      backReady,
      this.#startAll('write manager', ofKind('write-manager')),
      this.#startAll('read manager', ofKind('read-manager')),
      this.#startAll('load balancer', ofKind('load-balancer')),
    ])
  }

  /** Load balancers, managers, brokers, PostgreSQL; each step waits for the one before. May be called twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  /** Ends everything at once; PostgreSQL recovers at its next start, as do the brokers. */
  killAll(): void {
    for (const one of [...this.#front, ...this.#brokers]) one.kill()
    const pid = this.#server?.pid
    if (pid !== undefined && pid !== null) process.kill(pid, 'SIGQUIT')
  }

  entries(): ProcessEntry[] {
    const postgres = this.#server
    const ours =
      postgres === undefined || postgres.pid === null ? [] : [{ pid: postgres.pid, port: postgres.port }]
    return [
      { name: 'supervisor', kind: 'supervisor', id: 0, pid: process.pid, port: null },
      ...ours.map(({ pid, port }) => ({ name: 'postgres', kind: 'postgres' as const, id: 0, pid, port })),
      ...[...this.#brokers, ...this.#front].map(({ plan, pid }) => ({
        name: plan.name,
        kind: plan.kind,
        id: plan.id,
        pid: pid ?? null,
        port: plan.port,
      })),
    ]
  }

  line(name: string, text: string, fromStderr: boolean): void {
    this.#logs.get(name)?.append(text)
    this.#parts.terminal.log(name, text, fromStderr)
  }

  changed(): void {
    this.#parts.save(this.entries(), this.#server?.url ?? null)
  }

  ended(name: string, reason: string, delayMs: number): void {
    this.#parts.terminal.notice(`${name} ${reason}; starting it again in ${(delayMs / 1000).toFixed(1)} s`)
  }

  recovered(name: string): void {
    this.#parts.terminal.notice(`${name} serves again`)
  }

  #manage(plan: ProcessPlan): ManagedProcess {
    const { shape, times, clock, baseEnv } = this.#parts
    this.#logs.set(plan.name, new LogFile(join(shape.dataDirectory, 'logs', `${plan.name}.log`)))
    return new ManagedProcess({ ...plan, env: { ...baseEnv, ...plan.env } }, times, this, clock)
  }

  async #startAll(what: string, processes: readonly ManagedProcess[]): Promise<void> {
    let readyCount = 0
    await Promise.all(
      processes.map(async (one) => {
        const isLeftOut = !(await this.#startOne(one))
        if (isLeftOut) return
        readyCount += 1
        const progress =
          processes.length === 1 ? `${what} ready` : `${what}s ready ${readyCount}/${processes.length}`
        this.#parts.terminal.progress(progress)
      }),
    )
  }

  /** @returns false for a broker that the others go on without */
  async #startOne(one: ManagedProcess): Promise<boolean> {
    try {
      await one.start(() => this.#failed.size > 0)
      return true
    } catch (error) {
      const mayFail = this.#parts.isExisting && one.plan.kind === 'broker'
      if (!mayFail || !(error instanceof ProcessStartError) || !error.hasEnded || error.portTaken) throw error
      this.#failed.add(one)
      if (this.#failed.size === this.#brokers.length) throw error
      this.#parts.terminal.notice(
        `${one.plan.name} cannot start, as its lines above say. The others go on if they are a majority; if too many are lost for good, see docs/recovery.md`,
      )
      one.keepTrying()
      return false
    }
  }

  async #stop(): Promise<void> {
    const frontLast = this.#front.filter(({ plan }) => plan.kind === 'load-balancer')
    const managers = this.#front.filter(({ plan }) => plan.kind !== 'load-balancer')
    const failures: Error[] = []
    for (const group of [frontLast, managers, this.#brokers]) {
      const results = await Promise.allSettled(group.map((one) => this.#stopOne(one)))
      for (const result of results) if (result.status === 'rejected') failures.push(toError(result.reason))
    }
    // A start that was given up may have brought brokers up meanwhile, and PostgreSQL.
    const server = await this.#databases?.catch(() => undefined)
    await Promise.allSettled(this.#brokers.map((one) => this.#stopOne(one)))
    try {
      await server?.stop()
    } catch (error) {
      failures.push(toError(error))
    }
    this.#server = undefined
    this.changed()
    for (const log of this.#logs.values()) log.close()
    if (failures.length > 0) throw new AggregateError(failures, failures.map(messageOf).join('; '))
  }

  async #stopOne(one: ManagedProcess): Promise<void> {
    if ((await one.stop()) === 'killed') {
      this.#parts.terminal.notice(
        `${one.plan.name} did not stop within ${this.#parts.times.stopTimeoutMs} ms and was killed`,
      )
    }
  }
}
