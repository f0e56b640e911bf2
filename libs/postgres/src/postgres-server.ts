import { mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { delay, messageOf } from '@sluice/foundation'
import pg from 'pg'
import { type Binaries, findBinaries } from './binaries.js'
import { prepareDataDirectory, resolveDataDirectory, SUPERUSER } from './data-directory.js'
import { directoryHolder, removeStalePidFile } from './pid-file.js'
import { processState, tokenIsAlive } from './process-table.js'
import {
  freePort,
  HOST,
  type Launch,
  launchServer,
  reasonOf,
  type RunningServer,
  type ServerExit,
} from './server-process.js'
import { serverUser } from './server-user.js'
import { PostgresStartError } from './start-error.js'

export interface PostgresOptions {
  /** Made when it is absent; holds the data of one major version. */
  readonly dataDirectory: string
  /** On 127.0.0.1; a free one when left out. */
  readonly port?: number
  /** False gives up safety after a crash for speed: for data that is thrown away. */
  readonly durable: boolean
  /** What the server says; `<dataDirectory>.log` when left out. */
  readonly logFile?: string
  /** Told what the person at the terminal should know, in sentences. */
  readonly onLog?: (line: string) => void
  /** Holds `initdb` and `postgres`; the embedded server, else an installed one, when left out. */
  readonly binaryDirectory?: string
}

/** How long a server of a starter that died may take to end: it writes what it has in memory first. */
const LEFTOVER_LIMIT_MS = 60_000
const LEFTOVER_POLL_MS = 50
const PORT_ATTEMPTS = 10
const FAST_STOP_MS = 60_000
const IMMEDIATE_STOP_MS = 10_000

/**
 * Starts a PostgreSQL server that listens on the loopback address and trusts who connects there. It
 * ends with this process, however that ends, where the system can see to it; else the next start ends it.
 *
 * @throws PostgresStartError
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  try {
    return await start(options)
  } catch (error) {
    if (error instanceof PostgresStartError) throw error
    throw new PostgresStartError('FAILED', `PostgreSQL could not be started: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/** A server that runs, and is ours to stop. */
export class PostgresServer {
  readonly host = HOST
  readonly port: number
  readonly pid: number
  /** Where the data really is. */
  readonly dataDirectory: string
  /** Resolves when the process ended, by `stop` or by itself. */
  readonly exited: Promise<ServerExit>
  readonly #running: RunningServer
  #stopping: Promise<void> | undefined

  constructor(running: RunningServer, { port, dataDirectory }: Launch) {
    this.#running = running
    this.port = port
    this.pid = running.pid
    this.dataDirectory = dataDirectory
    this.exited = running.exited
  }

  /** The address of a database of this server, which need not exist. */
  url(database: string): string {
    return `postgres://${SUPERUSER}@${this.host}:${this.port}/${encodeURIComponent(database)}`
  }

  /** Creates the database unless it exists. @returns its address */
  async createDatabase(name: string): Promise<string> {
    const client = new pg.Client({ connectionString: this.url('postgres') })
    // A connection that breaks while idle says so here; the query that needs it fails as well.
    client.on('error', () => undefined)
    try {
      await client.connect()
      await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)} TEMPLATE template0`)
    } catch (error) {
      const exists = error instanceof pg.DatabaseError && (error.code === '42P04' || error.code === '23505')
      if (!exists) throw error
    } finally {
      await client.end().catch(() => undefined)
    }
    return this.url(name)
  }

  /** Ends connections and the server; everything is on disk when this resolves. May be called twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    const { child, exited } = this.#running
    // Fast, then immediate (recovers at the next start), then whatever ends it.
    for (const [signal, limitMs] of [
      ['SIGINT', FAST_STOP_MS],
      ['SIGQUIT', IMMEDIATE_STOP_MS],
      ['SIGKILL', IMMEDIATE_STOP_MS],
    ] as const) {
      child.kill(signal)
      const waited = new AbortController()
      const ended = await Promise.race([
        exited.then(() => true),
        delay(limitMs, waited.signal).then(
          () => false,
          () => true,
        ),
      ])
      waited.abort()
      if (ended) return
    }
  }
}

async function start(options: PostgresOptions): Promise<PostgresServer> {
  const onLog = options.onLog ?? ((): void => undefined)
  const path = resolve(options.dataDirectory)
  const logFile = resolve(options.logFile ?? `${path}.log`)
  const user = serverUser(path)
  const binaries = await findBinaries(user, options.binaryDirectory, onLog)
  const dataDirectory = resolveDataDirectory(path, user, onLog)
  await prepareDataDirectory(dataDirectory, { binaries, user, durable: options.durable })
  mkdirSync(dirname(logFile), { recursive: true })
  return launchOn(options.port, { binaries, user, dataDirectory, logFile, durable: options.durable })
}

async function launchOn(
  wantedPort: number | undefined,
  settings: Omit<Launch, 'port'> & { readonly binaries: Binaries },
): Promise<PostgresServer> {
  const { dataDirectory, logFile } = settings
  const deadline = performance.now() + LEFTOVER_LIMIT_MS
  let portAttempts = 0
  for (;;) {
    await awaitFree(dataDirectory, deadline)
    const launched: Launch = { ...settings, port: wantedPort ?? (await freePort()) }
    const outcome = await launchServer(launched)
    if (outcome.kind === 'running') return new PostgresServer(outcome, launched)
    const { complaint } = outcome
    if (/Address already in use/i.test(complaint)) {
      if (wantedPort !== undefined)
        throw new PostgresStartError(
          'PORT_TAKEN',
          `PostgreSQL cannot listen on ${HOST}:${wantedPort}: another program has that port`,
        )
      portAttempts += 1
      if (portAttempts < PORT_ATTEMPTS) continue
    }
    // Somebody was quicker, or ended in between: look again.
    const held = /lock file "postmaster\.pid" already exists|pre-existing shared memory/.test(complaint)
    if (held && performance.now() < deadline) {
      await delay(LEFTOVER_POLL_MS)
      continue
    }
    throw new PostgresStartError(
      'FAILED',
      `PostgreSQL does not start: ${reasonOf(complaint)} (log: ${logFile})`,
    )
  }
}

/**
 * Waits until no server holds the directory. One whose starter died is on its way out, or is told to go;
 * one whose starter lives is not ours to stop.
 */
async function awaitFree(dataDirectory: string, deadline: number): Promise<void> {
  let interrupted: number | undefined
  for (;;) {
    const holder = directoryHolder(dataDirectory)
    if (holder.kind === 'nobody') {
      removeStalePidFile(dataDirectory)
      return
    }
    if (holder.kind === 'server') {
      const ours = holder.starter !== undefined && !tokenIsAlive(holder.starter)
      if (!ours || performance.now() > deadline) throw alreadyRunning(dataDirectory, holder)
      if (interrupted !== holder.pid && processState(holder.pid).kind === 'running')
        process.kill(holder.pid, 'SIGINT')
      interrupted = holder.pid
    } else if (performance.now() > deadline)
      throw new PostgresStartError(
        'ALREADY_RUNNING',
        `the server that used ${dataDirectory} (process ${holder.pid}) is gone, but processes of it are still at work: end them first`,
      )
    await delay(LEFTOVER_POLL_MS)
  }
}

function alreadyRunning(
  dataDirectory: string,
  {
    pid,
    port,
    starter,
  }: { readonly pid: number; readonly port: number; readonly starter: string | undefined },
): PostgresStartError {
  const by = starter === undefined ? '' : `, started by process ${Number.parseInt(starter, 10)}`
  return new PostgresStartError(
    'ALREADY_RUNNING',
    `a PostgreSQL server runs on ${dataDirectory} already: process ${pid}, port ${port}${by}`,
  )
}
