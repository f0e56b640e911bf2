import { type ChildProcess, spawn } from 'node:child_process'
import { Api } from '../api.js'
import { until } from '../local-cluster.js'
import { type App, type Build, scriptOf } from './build.js'

const READY_LIMIT_MS = 60_000
const STOP_LIMIT_MS = 15_000
const OUTPUT_MAX = 200_000

export interface ProcessPlan {
  readonly app: App
  readonly name: string
  readonly port: number
  readonly env: Readonly<Record<string, string>>
}

/** One process of a cluster, of one version now and of another one later. */
export class MixedProcess {
  readonly plan: ProcessPlan
  build: Build | undefined
  #child: ChildProcess | undefined
  #output = ''

  constructor(plan: ProcessPlan) {
    this.plan = plan
  }

  get output(): string {
    return this.#output
  }

  /** Starts it and waits until it serves. */
  async start(build: Build): Promise<void> {
    const child = this.#spawn(build)
    const api = new Api(this.plan.port)
    try {
      await until(
        async () => {
          if (hasEnded(child)) throw new Error('it ended')
          return (await api.get('/health/ready')).status === 200
        },
        READY_LIMIT_MS,
        () => `${this.plan.name} of version ${build.version} does not start:\n${this.#output.slice(-5000)}`,
      )
    } finally {
      api.close()
    }
  }

  /** Starts it without waiting for anything; resolves with its exit code once it has ended. */
  async runToEnd(build: Build): Promise<number | null> {
    const child = this.#spawn(build)
    await until(
      () => hasEnded(child),
      READY_LIMIT_MS,
      () => `${this.plan.name} of version ${build.version} does not end:\n${this.#output.slice(-5000)}`,
    )
    return child.exitCode
  }

  /** As an operator stops it; it is killed when that takes too long. */
  async stop(): Promise<void> {
    const child = this.#child
    this.build = undefined
    if (child === undefined || hasEnded(child)) return
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await ended
    clearTimeout(timer)
  }

  #spawn(build: Build): ChildProcess {
    this.build = build
    this.#output = ''
    // With a channel: it ends by itself when this process does.
    const child = spawn(process.execPath, [scriptOf(build, this.plan.app)], {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...this.plan.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const collect = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-OUTPUT_MAX)
    }
    child.stdout?.on('data', collect)
    child.stderr?.on('data', collect)
    this.#child = child
    return child
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}
