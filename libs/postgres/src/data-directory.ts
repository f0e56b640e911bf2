import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { Binaries } from './binaries.js'
import { CHILD_ENVIRONMENT } from './environment.js'
import { storeOutsideHome } from './outside-store.js'
import { processToken, tokenIsAlive } from './process-table.js'
import { canEnter, type ServerUser } from './server-user.js'
import { PostgresStartError } from './start-error.js'

/** Name of the only user of a cluster of databases that we make. */
export const SUPERUSER = 'sluice'

/** How a server process finds its data: its working directory, and the `-D` argument. */
export interface DataPlace {
  readonly cwd: string
  readonly argument: string
}

/**
 * A directory above that is closed to the user does not matter on Linux: the process is born inside the
 * data directory, and `/proc/self/cwd` leads there without a walk from the root.
 */
export function dataPlace(directory: string, user: ServerUser | undefined): DataPlace {
  const direct = process.platform !== 'linux' || user === undefined || canEnter(user, dirname(directory))
  return direct ? { cwd: '/', argument: directory } : { cwd: directory, argument: '/proc/self/cwd' }
}

/**
 * Where the data really is: the path asked for, or what its link names. For a user that cannot reach
 * the path on a system without /proc, a new directory elsewhere, with a link to it in the path's place.
 *
 * @throws PostgresStartError DATA_DIRECTORY
 */
export function resolveDataDirectory(
  path: string,
  user: ServerUser | undefined,
  onLog: (line: string) => void,
): string {
  const link = lstatSync(path, { throwIfNoEntry: false })
  if (link?.isSymbolicLink() === true && !existsSync(path))
    throw new PostgresStartError(
      'DATA_DIRECTORY',
      `the data of ${path} was kept in ${readlinkSync(path)}, which is gone: bring it back, or remove the link to begin with nothing`,
    )
  const parent = dirname(path)
  mkdirSync(parent, { recursive: true })
  if (link?.isSymbolicLink() === true) return realpathSync(path)
  const place = join(realpathSync(parent), basename(path))
  if (process.platform === 'linux' || user === undefined || canEnter(user, parent)) return place
  if (link !== undefined && !isEmptyDirectory(place))
    throw new PostgresStartError(
      'DATA_DIRECTORY',
      `the user that PostgreSQL runs as, ${user.uid}, cannot reach ${place}: make every directory above it passable (chmod o+x)`,
    )
  if (link !== undefined) rmSync(place, { recursive: true })
  const home = mkdtempSync(join(storeOutsideHome(), 'data-'))
  chmodSync(home, 0o755)
  const elsewhere = join(home, basename(path))
  // A directory of its user's, empty for now, so that the link is good from the start.
  mkdirSync(elsewhere, { mode: 0o700 })
  chownSync(elsewhere, user.uid, user.gid)
  symlinkSync(elsewhere, place)
  onLog(
    `the database's files are in ${elsewhere}, because the user PostgreSQL runs as cannot reach ${parent}`,
  )
  return elsewhere
}

/**
 * Makes the data directory unless it is there, whole or not at all: a half-made one carries a version
 * file, and the server would even start on it. So it is made beside and then renamed.
 *
 * @throws PostgresStartError DATA_DIRECTORY
 */
export async function prepareDataDirectory(
  directory: string,
  setup: { readonly binaries: Binaries; readonly user: ServerUser | undefined; readonly durable: boolean },
): Promise<void> {
  sweepUnfinished(directory)
  if (!existsSync(directory) || isEmptyDirectory(directory)) await initialise(directory, setup)
  checkWhole(directory, setup.binaries, setup.user)
}

let initCount = 0

async function initialise(
  directory: string,
  {
    binaries,
    user,
    durable,
  }: { readonly binaries: Binaries; readonly user: ServerUser | undefined; readonly durable: boolean },
): Promise<void> {
  initCount += 1
  const unfinished = `${directory}.init.${processToken(process.pid)}.${initCount}`
  rmSync(unfinished, { recursive: true, force: true })
  mkdirSync(unfinished, { mode: 0o700 })
  if (user !== undefined) chownSync(unfinished, user.uid, user.gid)
  try {
    await runInitdb(unfinished, binaries, user, durable)
    try {
      // An empty directory gives way; a filled one is another starter's, who was quicker.
      renameSync(unfinished, directory)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
    }
    if (durable) syncDirectory(dirname(directory))
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

async function runInitdb(
  directory: string,
  binaries: Binaries,
  user: ServerUser | undefined,
  durable: boolean,
): Promise<void> {
  const { cwd, argument } = dataPlace(directory, user)
  const child = spawn(
    binaries.initdb,
    [
      ...['-D', argument, '-U', SUPERUSER, '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-instructions'],
      ...(durable ? [] : ['--no-sync']),
    ],
    { cwd, env: CHILD_ENVIRONMENT, stdio: ['ignore', 'ignore', 'pipe'], ...user },
  )
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-4000)))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0)
    throw new PostgresStartError('DATA_DIRECTORY', `initdb could not make ${directory}: ${complaint.trim()}`)
}

function checkWhole(directory: string, binaries: Binaries, user: ServerUser | undefined): void {
  const versionFile = join(directory, 'PG_VERSION')
  if (!existsSync(versionFile))
    throw new PostgresStartError(
      'DATA_DIRECTORY',
      `${directory} is not empty and holds no PostgreSQL data: choose another data directory`,
    )
  const major = Number.parseInt(readFileSync(versionFile, 'utf8'), 10)
  if (major !== binaries.major)
    throw new PostgresStartError(
      'DATA_DIRECTORY',
      `${directory} holds data of PostgreSQL ${major}, and the server here (${binaries.postgres}) is ${binaries.major}: dump it with version ${major}, or choose another data directory`,
    )
  if (!existsSync(join(directory, 'global/pg_control')) || !existsSync(join(directory, 'postgresql.conf')))
    throw new PostgresStartError(
      'DATA_DIRECTORY',
      `${directory} is only half made, by an initdb that was interrupted: remove it, then start again`,
    )
  if (user !== undefined && statSync(directory).uid === 0)
    throw new PostgresStartError(
      'DATA_DIRECTORY',
      `${directory} belongs to root, as whom PostgreSQL does not run: chown -R ${user.uid}:${user.gid} ${directory}`,
    )
}

/** What starters left that were killed while they made the directory. */
function sweepUnfinished(directory: string): void {
  const prefix = `${basename(directory)}.init.`
  const parent = resolve(directory, '..')
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(prefix)) continue
    const token = name.slice(prefix.length).split('.')[0]!
    if (!tokenIsAlive(token)) rmSync(join(parent, name), { recursive: true, force: true })
  }
}

function isEmptyDirectory(path: string): boolean {
  return statSync(path).isDirectory() && readdirSync(path).length === 0
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
