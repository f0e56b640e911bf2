import type { ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import { delay } from '@sluice/foundation'
import pg from 'pg'
import type { Binaries } from './binaries.js'
import { dataPlace, SUPERUSER } from './data-directory.js'
import { launch } from './launcher.js'
import { ServerLog } from './log-file.js'
import { serverIsReady, STARTER_SETTING } from './pid-file.js'
import { processToken } from './process-table.js'
import type { ServerUser } from './server-user.js'
import { serverSettings } from './settings.js'

export const HOST = '127.0.0.1'
const READY_POLL_MS = 15
/** Recovery after a crash replays at most some checkpoints' worth of log. */
const READY_LIMIT_MS = 120_000

/** How a server's process ended. */
export interface ServerExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Launch {
  readonly binaries: Binaries
  readonly user: ServerUser | undefined
  readonly dataDirectory: string
  readonly logFile: string
  readonly port: number
  readonly durable: boolean
}

/** A launch that ended before the server took connections. */
export interface FailedLaunch {
  readonly kind: 'failed'
  /** The end of what the server said. */
  readonly complaint: string
}

export interface RunningServer {
  readonly kind: 'running'
  readonly child: ChildProcess
  readonly pid: number
  readonly exited: Promise<ServerExit>
}

/** Starts the server once and waits until it takes connections, or ends. */
export async function launchServer(launched: Launch): Promise<RunningServer | FailedLaunch> {
  const log = new ServerLog(launched.logFile)
  const token = processToken(process.pid)
  const { cwd, argument } = dataPlace(launched.dataDirectory, launched.user)
  const child = launch(
    launched.binaries.postgres,
    ['-D', argument, '-p', String(launched.port), ...serverSettings(launched.durable, token)],
    { cwd, user: launched.user, stdio: ['ignore', log.descriptor, log.descriptor] },
  )
  let exit: ServerExit | undefined
  const exited = new Promise<ServerExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', () => resolve({ code: null, signal: null }))
  })
  void exited.then((value) => (exit = value))
  try {
    const deadline = performance.now() + READY_LIMIT_MS
    while (exit === undefined && performance.now() < deadline) {
      if (child.pid !== undefined && (await answers(launched, token, child.pid)))
        return { kind: 'running', child, pid: child.pid, exited }
      await Promise.race([delay(READY_POLL_MS), exited])
    }
    if (exit === undefined) child.kill('SIGQUIT')
    await exited
    return { kind: 'failed', complaint: log.tail() }
  } finally {
    log.close()
  }
}

/** A port that nobody has now; somebody may have it in a moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, HOST, () => {
      const address = server.address()
      server.close(() =>
        address !== null && typeof address === 'object'
          ? resolve(address.port)
          : reject(new Error('no free port')),
      )
    })
  })
}

/** True when the server on the port is this one, and not another that took the port first. */
async function answers({ port, dataDirectory }: Launch, token: string, pid: number): Promise<boolean> {
  // Before that another program may have the port, and leave a client waiting.
  if (!serverIsReady(dataDirectory, pid)) return false
  const client = new pg.Client({
    host: HOST,
    port,
    user: SUPERUSER,
    database: 'postgres',
    connectionTimeoutMillis: 5000,
    query_timeout: 5000,
  })
  client.on('error', ignore)
  try {
    await client.connect()
    const { rows } = await client.query<{ starter: string | null; postmaster: string }>(
      `SELECT current_setting($1, true) AS starter, split_part(pg_read_file('postmaster.pid'), E'\\n', 1) AS postmaster`,
      [STARTER_SETTING],
    )
    return rows[0]?.starter === token && Number(rows[0].postmaster) === pid
  } catch {
    return false
  } finally {
    await client.end().catch(ignore)
  }
}

function ignore(): void {
  // Not ready yet: the next look will tell.
}

/** The line that says why, without time and process. */
export function reasonOf(complaint: string): string {
  const lines = complaint.split('\n')
  const fatal = lines.filter((line) => /FATAL|PANIC|error while loading|could not/.test(line))
  return (fatal.length > 0 ? fatal : lines)
    .slice(-2)
    .map((line) => line.replace(/^.*?\b(FATAL|PANIC|LOG):\s*/, ''))
    .join('; ')
}
