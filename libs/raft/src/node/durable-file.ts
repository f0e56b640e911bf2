import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Replaces a small file so that a crash leaves either the old content or the new: written beside it,
 * synced, renamed over it, and the directory synced. One writer at a time.
 */
export async function writeDurably(path: string, content: string): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.draft`)
  const handle = await open(draft, 'w', 0o600)
  try {
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  await syncDirectory(dirname(path))
}

/** The file's text; `undefined` when there is no such file. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Makes a directory and its parents, each entry durable in the directory above it. */
export async function makeDirectoryDurably(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let made = directory; ; made = dirname(made)) {
    await syncDirectory(dirname(made))
    if (made === first || dirname(made) === made) return
  }
}

/** Makes what was created, renamed or removed in a directory durable. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
