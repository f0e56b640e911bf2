import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Api } from './api.js'

export interface ClusterProcess {
  readonly name: string
  readonly kind: string
  readonly id: number
  readonly pid: number
  readonly port: number
}

interface ProcessEntry {
  readonly name: string
  readonly kind: string
  readonly id: number
  /** null while it does not run. */
  readonly pid: number | null
  readonly port: number | null
}

interface ClusterFile {
  readonly processes: readonly ProcessEntry[]
  readonly postgresUrl: string
}

const CLI = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url))
const READY_LIMIT_MS = 60_000
/** What the supervisor prints once every process is ready. */
const READY_LINE = 'Sluice is ready'

export interface ClusterOptions {
  readonly brokers?: number
  /** More for the command line of `start`. */
  readonly args?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

/** A whole cluster as `npm start` runs it, with a data directory and ports of its own. */
export class LocalCluster {
  readonly dataDirectory: string
  readonly port: number
  readonly api: Api
  readonly #options: ClusterOptions
  #supervisor: ChildProcess | undefined
  #output = ''

  private constructor(dataDirectory: string, port: number, options: ClusterOptions) {
    this.dataDirectory = dataDirectory
    this.port = port
    this.api = new Api(port)
    this.#options = options
  }

  static async start(options: ClusterOptions = {}): Promise<LocalCluster> {
    const dataDirectory = await mkdtemp(path.join(os.tmpdir(), 'sluice-e2e-'))
    const cluster = new LocalCluster(dataDirectory, await freePort(), options)
    try {
      await cluster.up()
    } catch (error) {
      await cluster.destroy()
      throw error
    }
    return cluster
  }

  /** What its processes are told on top of this process' own environment. */
  get env(): NodeJS.ProcessEnv {
    return { SLUICE_PORT: String(this.port), SLUICE_DATA_DIR: this.dataDirectory, ...this.#options.env }
  }

  get supervisorPid(): number {
    return this.#supervisor?.pid ?? 0
  }

  get output(): string {
    return this.#output
  }

  /** Starts the supervisor and waits until the cluster says that it is ready. */
  async up(): Promise<void> {
    const more = this.#options.args ?? []
    const args = [CLI, 'start', '--brokers', String(this.#options.brokers ?? 3), ...more]
    const child = spawn(process.execPath, args, {
      env: { ...process.env, ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#supervisor = child
    this.#output = ''
    const collect = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-200_000)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    await until(
      async () => {
        if (child.exitCode !== null) throw new Ended(`the cluster ended:\n${this.#output.slice(-4000)}`)
        // The load balancer answers before the supervisor has seen the last broker: until then a process that
        // dies ends the start.
        return this.#output.includes(READY_LINE) && (await this.api.get('/health/ready')).status === 200
      },
      READY_LIMIT_MS,
      () => `the cluster is not ready:\n${this.#output.slice(-4000)}`,
    )
  }

  /** The processes that run now, the supervisor's own left out. */
  processes(): readonly ClusterProcess[] {
    return this.#file().processes.flatMap(({ name, kind, id, pid, port }) =>
      pid === null || kind === 'supervisor' ? [] : [{ name, kind, id, pid, port: port ?? 0 }],
    )
  }

  get postgresUrl(): string {
    return this.#file().postgresUrl
  }

  process(kind: string, index = 0): ClusterProcess {
    const found = this.processes().filter((candidate) => candidate.kind === kind)[index]
    if (found === undefined) throw new Error(`no ${kind} ${index} in ${JSON.stringify(this.processes())}`)
    return found
  }

  /** The broker that leads a partition, asked at the brokers themselves. */
  async leaderOf(partition: string): Promise<ClusterProcess> {
    for (const broker of this.processes().filter((candidate) => candidate.kind === 'broker')) {
      const api = new Api(broker.port)
      try {
        const { body } = await api.get('/status')
        const partitions = body['partitions'] as { name: string; role: string }[]
        if (partitions.some((p) => p.name === partition && p.role === 'leader')) return broker
      } catch {
        // A dead broker leads nothing.
      } finally {
        api.close()
      }
    }
    throw new Error(`nobody leads ${partition}`)
  }

  kill(target: ClusterProcess): void {
    process.kill(target.pid, 'SIGKILL')
  }

  /** The supervisor and everything it runs, at once: what a power failure does to processes. */
  async killEverything(): Promise<void> {
    const pids = [this.supervisorPid, ...this.processes().map((p) => p.pid)]
    const ended = this.#ended()
    for (const pid of pids)
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Gone already.
      }
    await ended
  }

  /** Ctrl-C, as a terminal sends it; resolves with the exit code. */
  async down(): Promise<number | null> {
    const ended = this.#ended()
    this.#supervisor?.kill('SIGINT')
    return ended
  }

  async destroy(): Promise<void> {
    this.api.close()
    if (this.#supervisor?.exitCode === null && this.#supervisor.signalCode === null) {
      const timer = setTimeout(() => this.#supervisor?.kill('SIGKILL'), 20_000)
      await this.down()
      clearTimeout(timer)
    }
    await rm(this.dataDirectory, { recursive: true, force: true, maxRetries: 5 })
  }

  #ended(): Promise<number | null> {
    const child = this.#supervisor
    return new Promise((resolve) => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null)
        resolve(child?.exitCode ?? null)
      else child.once('exit', (code) => resolve(code))
    })
  }

  #file(): ClusterFile {
    return JSON.parse(readFileSync(path.join(this.dataDirectory, 'cluster.json'), 'utf8')) as ClusterFile
  }
}

/** What is awaited cannot come any more. */
export class Ended extends Error {}

/** Awaits a condition with a limit; a failing probe counts as "not yet" unless the process has ended. */
export async function until(
  probe: () => boolean | Promise<boolean>,
  limitMs: number,
  explain: () => string,
): Promise<void> {
  const end = performance.now() + limitMs
  for (;;) {
    try {
      if (await probe()) return
    } catch (error) {
      if (error instanceof Ended) throw error
    }
    if (performance.now() > end) throw new Error(explain())
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })
}
