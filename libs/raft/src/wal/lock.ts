import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { WalLockedError } from './errors.js'

/** Held while the log is open. */
export interface DirectoryLock {
  /** @throws WalLockedError when another process took the lock over all the same */
  verify(): Promise<void>
  release(): Promise<void>
}

/** Which process: a pid alone comes back after a restart of the machine or of a container. */
interface ProcessIdentity {
  readonly pid: number
  /** Linux: of this boot of the kernel; elsewhere empty. */
  readonly bootId: string
  /** Linux: start of the process in clock ticks since boot; elsewhere empty. */
  readonly startTicks: string
}

interface LockContent extends ProcessIdentity {
  /** Tells two holders apart that are the same process. */
  readonly token: string
}

const LOCK_FILE = 'wal.lock'
const ATTEMPTS_MAX = 10
/** The kernel may hide other users' processes; one that is hidden counts as running. */
const UNREADABLE = 'unreadable'

/**
 * Locks a directory with a file that names its holder. The file appears whole, through a hard link, so
 * that one that cannot be parsed is what a crash left. A holder that is no longer running loses it.
 *
 * A process in another pid namespace cannot be seen: a directory must not be shared between containers.
 *
 * @throws WalLockedError when the holder runs, also when it is this very process
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const path = join(directory, LOCK_FILE)
  const mine: LockContent = { ...(await identify(process.pid)), token: randomUUID() }
  const text = JSON.stringify(mine)
  const draft = join(directory, `${LOCK_FILE}.${mine.token}`)
  await writeFile(draft, text, { flag: 'wx', mode: 0o600 })
  try {
    await take({ path, draft })
  } finally {
    await rm(draft, { force: true })
  }
  const verify = async (): Promise<void> => {
    const found = await readText(path)
    if (found !== text) throw new WalLockedError(path, parseLock(found)?.pid ?? 0)
  }
  return {
    verify,
    async release() {
      if ((await readText(path)) === text) await rm(path, { force: true })
    },
  }
}

async function take(files: { readonly path: string; readonly draft: string }): Promise<void> {
  let pid = 0
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (await linked(files.draft, files.path)) return
    const text = await readText(files.path)
    if (text === undefined) continue // released in between
    const holder = parseLock(text)
    pid = holder?.pid ?? 0
    if (holder !== undefined && (await isRunning(holder))) throw new WalLockedError(files.path, pid)
    await removeStale(files, text)
  }
  throw new WalLockedError(files.path, pid)
}

/** Moves the lock away; only one process can. What moved was another's, taken meanwhile: back it goes. */
async function removeStale(
  files: { readonly path: string; readonly draft: string },
  stale: string,
): Promise<void> {
  const moved = `${files.draft}.stale`
  try {
    await rename(files.path, moved)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  if ((await readText(moved)) !== stale) await linked(moved, files.path)
  await rm(moved, { force: true })
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

function parseLock(text: string | undefined): LockContent | undefined {
  if (text === undefined) return undefined
  try {
    const value = JSON.parse(text) as Partial<Record<keyof LockContent, unknown>> | null
    if (value === null || typeof value !== 'object') return undefined
    const { pid, bootId, startTicks, token } = value
    if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 1) return undefined
    if (typeof bootId !== 'string' || typeof startTicks !== 'string' || typeof token !== 'string')
      return undefined
    return { pid, bootId, startTicks, token }
  } catch {
    return undefined
  }
}

async function isRunning(holder: ProcessIdentity): Promise<boolean> {
  if (!isKnownToKernel(holder.pid)) return false
  const now = await identify(holder.pid)
  if (now.bootId !== holder.bootId) return false
  return now.startTicks === UNREADABLE || now.startTicks === holder.startTicks
}

function isKnownToKernel(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM' // it runs as another user
  }
}

/** A zombie, which runs nothing any more, has no start: it equals no holder. */
async function identify(pid: number): Promise<ProcessIdentity> {
  if (process.platform !== 'linux') return { pid, bootId: '', startTicks: '' }
  const bootId = (await readText('/proc/sys/kernel/random/boot_id'))?.trim() ?? ''
  const stat = await readText(`/proc/${pid}/stat`)
  if (stat === undefined) return { pid, bootId, startTicks: UNREADABLE }
  // The command in parentheses may hold anything; state is the first field after it, start the 20th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ended = fields[0] === 'Z' || fields[0] === 'X'
  return { pid, bootId, startTicks: ended ? 'ended' : (fields[19] ?? UNREADABLE) }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
