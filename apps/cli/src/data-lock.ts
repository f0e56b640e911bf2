import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { processFacts } from './process-table.js'

/** Another process that is alive holds the lock. */
export class LockHeldError extends Error {
  override readonly name = 'LockHeldError'
  readonly pid: number

  constructor(path: string, pid: number) {
    super(`${path} is held by process ${pid}`)
    this.pid = pid
  }
}

interface Holder {
  readonly pid: number
  readonly startedAt: string
}

/** A file that says which process uses a directory. The lock of a process that is gone is taken over. */
export class DataLock {
  readonly #path: string
  readonly #text: string
  #held = true

  private constructor(path: string, text: string) {
    this.#path = path
    this.#text = text
  }

  /** @throws LockHeldError when a process that is alive holds it */
  static take(path: string): DataLock {
    mkdirSync(dirname(path), { recursive: true })
    const own: Holder = { pid: process.pid, startedAt: processFacts(process.pid)?.startedAt ?? '' }
    const text = `${JSON.stringify(own)}\n`
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, text)
    try {
      // Each round either takes the lock, finds its holder alive, or moves one stale file away.
      for (;;) {
        if (tryLink(draft, path)) return new DataLock(path, text)
        const holder = holderOf(path)
        if (holder !== undefined) throw new LockHeldError(path, holder.pid)
        moveAway(path)
      }
    } finally {
      rmSync(draft, { force: true })
    }
  }

  /** The id of the process that is alive and holds the lock. */
  static holder(path: string): number | undefined {
    return holderOf(path)?.pid
  }

  release(): void {
    if (!this.#held) return
    this.#held = false
    if (read(this.#path) === this.#text) rmSync(this.#path, { force: true })
  }
}

/** A hard link appears with its content and fails when the name exists: the file system decides who is first. */
function tryLink(draft: string, path: string): boolean {
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function holderOf(path: string): Holder | undefined {
  const text = read(path)
  if (text === undefined) return undefined
  try {
    const { pid, startedAt } = JSON.parse(text) as Partial<Holder>
    if (typeof pid !== 'number' || typeof startedAt !== 'string') return undefined
    return processFacts(pid)?.startedAt === startedAt ? { pid, startedAt } : undefined
  } catch {
    return undefined
  }
}

/** Renames the stale file first, so that of two processes that found it stale one alone removes it. */
function moveAway(path: string): void {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  // The other process may have taken the lock between the look and the rename: give it back.
  if (holderOf(aside) !== undefined) tryLink(aside, path)
  rmSync(aside, { force: true })
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
