import { type Clock, delay, messageOf } from '@sluice/foundation'
import { type PostgresServer, PostgresStartError, startPostgres } from '@sluice/postgres'
import { type DatabaseServer, ensureDatabase } from './database-server.js'
import { RestartDelay } from './restart-delay.js'
import type { Terminal } from './terminal.js'

export interface EmbeddedPostgresOptions {
  readonly dataDirectory: string
  readonly logFile: string
  /** The port it had before; another one when that is taken. */
  readonly port: number | undefined
  readonly restartDelayMs: number
  readonly terminal: Terminal
  readonly clock: Clock
  /** Told when the server's process is another one. */
  readonly changed: () => void
}

/** The PostgreSQL server that comes with this package, kept running on one port while the cluster runs. */
export class EmbeddedPostgres implements DatabaseServer {
  readonly #options: EmbeddedPostgresOptions
  readonly #stopping = new AbortController()
  readonly #keeping: Promise<void>
  /** Fixed at the first start: the brokers have it in their settings. */
  readonly #port: number
  #server: PostgresServer | undefined

  private constructor(options: EmbeddedPostgresOptions, server: PostgresServer) {
    this.#options = options
    this.#server = server
    this.#port = server.port
    this.url = server.url('postgres')
    this.#keeping = this.#keep(server)
  }

  readonly url: string

  /** @throws PostgresStartError */
  static async start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
    return new EmbeddedPostgres(options, await launchOnUsualPort(options))
  }

  get pid(): number | null {
    return this.#server?.pid ?? null
  }

  get port(): number {
    return this.#port
  }

  database(name: string): Promise<string> {
    return ensureDatabase(this.url, name)
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('stopping'))
    await this.#server?.stop()
    await this.#keeping
    this.#server = undefined
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted
  }

  async #keep(first: PostgresServer): Promise<void> {
    const { clock, restartDelayMs, terminal, changed } = this.#options
    const restartDelay = new RestartDelay(restartDelayMs)
    const stopping = this.#stopping.signal
    let startedAt = clock.monotonic()
    let server: PostgresServer | undefined = first
    for (;;) {
      if (server !== undefined) await server.exited
      if (this.#isStopping()) return
      this.#server = undefined
      changed()
      const delayMs = restartDelay.next(clock.monotonic() - startedAt)
      if (server !== undefined)
        terminal.notice(`PostgreSQL ended; starting it again in ${(delayMs / 1000).toFixed(1)} s`)
      await delay(delayMs, stopping).catch(() => undefined)
      if (this.#isStopping()) return
      startedAt = clock.monotonic()
      server = await this.#relaunch()
      if (server === undefined) continue
      terminal.notice('PostgreSQL serves again')
      changed()
    }
  }

  async #relaunch(): Promise<PostgresServer | undefined> {
    try {
      const server = await launch(this.#options, this.#port)
      if (this.#isStopping()) {
        await server.stop()
        return undefined
      }
      this.#server = server
      return server
    } catch (error) {
      this.#options.terminal.notice(`PostgreSQL cannot be started: ${messageOf(error)}`)
      return undefined
    }
  }
}

/** On the port it had; on a free one when another program took that meanwhile. */
async function launchOnUsualPort(options: EmbeddedPostgresOptions): Promise<PostgresServer> {
  if (options.port === undefined) return launch(options)
  try {
    return await launch(options, options.port)
  } catch (error) {
    if (error instanceof PostgresStartError && error.reason === 'PORT_TAKEN') return launch(options)
    throw error
  }
}

function launch(options: EmbeddedPostgresOptions, port?: number): Promise<PostgresServer> {
  const { dataDirectory, logFile, terminal } = options
  return startPostgres({
    dataDirectory,
    logFile,
    durable: true,
    onLog: (line) => terminal.notice(line),
    ...(port === undefined ? {} : { port }),
  })
}
