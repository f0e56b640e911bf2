import { open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { WalCorruptError } from './errors.js'
import { parseSegmentFileName } from './format.js'
import { openWal, type Wal } from './wal.js'
import type { WalOptions } from './wal-options.js'

export interface OpenedLog {
  readonly wal: Wal
  /** What the log has lost, as long as not all of its groups have recovered; undefined when nothing is missing. */
  readonly lost: string | undefined
  /** All groups have recovered: the next start is one like any other. */
  recovered(): Promise<void>
}

/**
 * Opens the log; one that is damaged, or gone although there was one, is set aside as `<directory>.damaged`, in
 * place of one that all groups have recovered from, and an empty one begins. One of a loss that is not mended yet
 * stays beside it, as `<directory>.damaged-2` and so on: it may hold what no other disk does. Its groups must then be opened as recovering, until
 * `recovered`: a file `<directory>.recovering` says so over restarts.
 *
 * @param options.isUsed there was a log in this directory: it is missed when it is not there
 * @throws as `openWal`, but for WalCorruptError
 */
export async function openOrReplaceWal(
  options: WalOptions & { readonly isUsed: boolean },
): Promise<OpenedLog> {
  const { directory, isUsed } = options
  const marker = `${directory}.recovering`
  if (isUsed && !(await hasSegments(directory))) await note(marker, `${directory} is gone`)
  const wal = await openWal(options).catch(async (error: unknown) => {
    if (!(error instanceof WalCorruptError)) throw error
    // Before anything is moved: a crash in between must not make it a log that was never used.
    const isFirst = (await textOf(marker)) === undefined
    await note(marker, error.message)
    await setAside(directory, isFirst)
    return openWal(options)
  })
  return {
    wal,
    lost: await textOf(marker),
    recovered: async () => {
      await rm(marker, { force: true })
      await syncDirectory(dirname(directory))
    },
  }
}

async function hasSegments(directory: string): Promise<boolean> {
  const names = await readdir(directory).catch(ifMissing([]))
  return names.some((name) => parseSegmentFileName(name) !== undefined)
}

async function note(marker: string, reason: string): Promise<void> {
  const file = await open(marker, 'a')
  try {
    await file.write(`${reason}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await syncDirectory(dirname(marker))
}

async function setAside(directory: string, isFirst: boolean): Promise<void> {
  let aside = `${directory}.damaged`
  if (isFirst) await rm(aside, { recursive: true, force: true })
  const names = await readdir(dirname(directory))
  for (let number = 2; names.includes(basename(aside)) && !isFirst; number++)
    aside = `${directory}.damaged-${number}`
  await rename(directory, aside)
  await syncDirectory(dirname(directory))
}

async function textOf(marker: string): Promise<string | undefined> {
  const text = await readFile(marker, 'utf8').catch(ifMissing(undefined))
  return text?.trim()
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function ifMissing<T>(value: T): (error: unknown) => T {
  return (error) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return value
    throw error
  }
}
