import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Api } from './api.js'
import { Ended, freePort, type LocalCluster, until } from './local-cluster.js'

const CLI = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url))
const START_LIMIT_MS = 60_000

/** One more broker beside a cluster, as `sluice broker` runs it; it waits to be added. */
export class ExtraBroker {
  readonly port: number
  readonly dataDirectory: string
  readonly #supervisor: ChildProcess
  #output = ''

  private constructor(port: number, dataDirectory: string, supervisor: ChildProcess) {
    this.port = port
    this.dataDirectory = dataDirectory
    this.#supervisor = supervisor
    const collect = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-50_000)
    }
    supervisor.stdout?.on('data', collect)
    supervisor.stderr?.on('data', collect)
  }

  /** @param port of one that was there before, to start it again */
  static async start(cluster: LocalCluster, port?: number): Promise<ExtraBroker> {
    return ExtraBroker.#startAt(cluster, port ?? (await freePort()))
  }

  static async #startAt(cluster: LocalCluster, port: number): Promise<ExtraBroker> {
    const supervisor = spawn(process.execPath, [CLI, 'broker', '--port', String(port)], {
      env: { ...process.env, ...cluster.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const broker = new ExtraBroker(port, path.join(cluster.dataDirectory, `broker-extra-${port}`), supervisor)
    const api = new Api(port)
    try {
      await until(
        async () => {
          if (supervisor.exitCode !== null) throw new Ended(`the broker ended:\n${broker.#output}`)
          return (await api.get('/health/live')).status === 200
        },
        START_LIMIT_MS,
        () => `the broker does not start:\n${broker.#output}`,
      )
    } finally {
      api.close()
    }
    return broker
  }

  /** Of the broker itself. */
  get pid(): number {
    const text = readFileSync(path.join(this.dataDirectory, 'cluster.json'), 'utf8')
    const { processes } = JSON.parse(text) as { processes: readonly { kind: string; pid: number }[] }
    return processes.find(({ kind }) => kind === 'broker')!.pid
  }

  /** Ctrl-C. */
  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.#supervisor
    if (exitCode !== null || signalCode !== null) return
    const ended = new Promise((resolve) => this.#supervisor.once('exit', resolve))
    this.#supervisor.kill('SIGINT')
    await ended
  }
}
