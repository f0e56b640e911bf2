import type { SnapshotFile, SnapshotFiles } from './files.js'

/** A directory in memory, for a node that keeps nothing: what it has goes with the process. */
export class MemoryFiles implements SnapshotFiles {
  readonly #files = new Map<string, { bytes: Buffer; sizeBytes: number }>()

  makeDirectory(): Promise<void> {
    return Promise.resolve()
  }

  list(): Promise<string[]> {
    return Promise.resolve([...this.#files.keys()].map((path) => path.slice(path.lastIndexOf('/') + 1)))
  }

  open(path: string, mode: 'create' | 'existing'): Promise<SnapshotFile> {
    if (mode === 'create') this.#files.set(path, { bytes: Buffer.alloc(0), sizeBytes: 0 })
    const file = this.#files.get(path)
    if (file === undefined) return Promise.reject(missing(path))
    return Promise.resolve({
      write: (bytes, position) => {
        const end = position + bytes.length
        if (end > file.bytes.length)
          file.bytes = Buffer.concat([file.bytes], Math.max(end, file.bytes.length * 2))
        file.bytes.set(bytes, position)
        file.sizeBytes = Math.max(file.sizeBytes, end)
        return Promise.resolve(bytes.length)
      },
      read: (bytes, position) => {
        const part = file.bytes.subarray(position, Math.min(position + bytes.length, file.sizeBytes))
        bytes.set(part)
        return Promise.resolve(part.length)
      },
      sync: () => Promise.resolve(),
      size: () => Promise.resolve(file.sizeBytes),
      close: () => Promise.resolve(),
    })
  }

  rename(from: string, to: string): Promise<void> {
    const file = this.#files.get(from)
    if (file === undefined) return Promise.reject(missing(from))
    this.#files.delete(from)
    this.#files.set(to, file)
    return Promise.resolve()
  }

  remove(path: string): Promise<void> {
    return this.#files.delete(path) ? Promise.resolve() : Promise.reject(missing(path))
  }

  syncDirectory(): Promise<void> {
    return Promise.resolve()
  }
}

function missing(path: string): Error {
  return Object.assign(new Error(`there is no file ${path}`), { code: 'ENOENT' })
}
