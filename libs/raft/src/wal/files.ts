import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, statfs, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type DirectoryLock, lockDirectory } from './lock.js'

/** An open file of the log. */
export interface WalFile {
  /** Resolves with the number of bytes written; fewer than given is a failure of the disk. */
  write(bytes: Uint8Array, position: number): Promise<number>
  /** Fills `bytes` from `position` on; resolves with the number of bytes read, 0 at the end of the file. */
  read(bytes: Uint8Array, position: number): Promise<number>
  /** Makes everything written before durable, the file's size included. */
  sync(): Promise<void>
  /** Bytes. */
  size(): Promise<number>
  close(): Promise<void>
}

/** What is asked of a file system; the seam where tests put faults. */
export interface WalFiles {
  makeDirectory(directory: string): Promise<void>
  /** File names, in any order. */
  list(directory: string): Promise<string[]>
  /** `create` makes the file or empties it. */
  open(path: string, mode: 'create' | 'existing'): Promise<WalFile>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(directory: string): Promise<void>
  /**
   * Keeps other processes out until released.
   * @throws WalLockedError when one is in
   */
  lock(directory: string): Promise<DirectoryLock>
}

/** Besides files, the room for them. */
export interface WalDisk extends WalFiles {
  /** What may still be written to the directory's disk, bytes. */
  freeBytes(directory: string): Promise<number>
}

class NodeFile implements WalFile {
  readonly #handle: FileHandle

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  async write(bytes: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.write(bytes, 0, bytes.length, position)).bytesWritten
  }

  async read(bytes: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(bytes, 0, bytes.length, position)).bytesRead
  }

  sync(): Promise<void> {
    return this.#handle.datasync()
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The real file system. */
export const nodeFiles: WalDisk = {
  async makeDirectory(directory) {
    const first = await mkdir(directory, { recursive: true, mode: 0o700 })
    if (first === undefined) return
    // A directory that its parent forgets takes everything in it along.
    const top = resolve(first)
    for (let made = resolve(directory); made.length >= top.length; made = dirname(made))
      await syncDirectory(dirname(made))
  },
  list: (directory) => readdir(directory),
  async open(path, mode) {
    return new NodeFile(await open(path, mode === 'create' ? CREATE : constants.O_RDWR, 0o600))
  },
  rename,
  remove: unlink,
  syncDirectory,
  async freeBytes(directory) {
    const { bavail, bsize } = await statfs(directory)
    return bavail * bsize
  },
  lock: lockDirectory,
}
