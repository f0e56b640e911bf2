import { basename } from 'node:path'
import type { Random } from '@sluice/foundation'
import type { DirectoryLock } from '../src/wal/lock.js'
import type { WalDisk, WalFile } from '../src/wal/files.js'

const SECTOR_BYTES = 512

/** What one file holds: as the process sees it, and as it would be after a power cut. */
class Inode {
  current: Buffer
  durable: Buffer
  /** Sectors written since the last sync. */
  readonly dirty = new Set<number>()

  constructor(bytes: Buffer = Buffer.alloc(0)) {
    this.current = bytes
    this.durable = Buffer.from(bytes)
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length
    if (end > this.current.length)
      this.current = Buffer.concat([this.current, Buffer.alloc(end - this.current.length)])
    this.current.set(bytes, position)
    for (let at = position - (position % SECTOR_BYTES); at < end; at += SECTOR_BYTES) this.dirty.add(at)
  }

  /** What it takes for written reaches the disk. */
  sync(): void {
    this.durable = this.#imageWith([...this.dirty])
    this.dirty.clear()
  }

  /** Like Linux: what could not be written counts as written from now on. */
  failSync(): void {
    this.dirty.clear()
  }

  copy(): Inode {
    const copy = new Inode()
    copy.current = Buffer.from(this.current)
    copy.durable = Buffer.from(this.durable)
    for (const at of this.dirty) copy.dirty.add(at)
    return copy
  }

  /** After a power cut: each sector that was not synced is there or is not. */
  crashed(random: Random | undefined): Buffer {
    return this.#imageWith(random === undefined ? [] : [...this.dirty].filter(() => random.below(2) === 0))
  }

  #imageWith(sectors: readonly number[]): Buffer {
    const ends = sectors.map((at) => Math.min(at + SECTOR_BYTES, this.current.length))
    const image = Buffer.alloc(Math.max(this.durable.length, ...ends))
    image.set(this.durable)
    for (const at of sectors) image.set(this.current.subarray(at, at + SECTOR_BYTES), at)
    return image
  }
}

export type DiskStep = 'write' | 'sync' | 'create' | 'rename' | 'remove' | 'sync-directory'
/** What goes wrong with one step: an error with this code, or a write that takes half of the bytes. */
export type DiskFault = 'EIO' | 'ENOSPC' | 'short'

/** A disk of one directory, in memory, that forgets at a crash what was not synced. */
export class SimulatedDisk implements WalDisk {
  /** Names as the process sees them. */
  readonly names = new Map<string, Inode>()
  #durableNames = new Map<string, Inode>()
  /** Changes of names that were not synced; a power cut may take back any of them. */
  #pending: ((names: Map<string, Inode>) => void)[] = []
  #died: () => void = () => undefined
  #isDead = false
  openFiles = 0
  /** What all files together may take; a write beyond it finds no space. Bytes. */
  capacityBytes = Number.POSITIVE_INFINITY
  /** Awaited by each read. */
  beforeRead: () => Promise<unknown> = () => Promise.resolve()
  /** Steps carried out. */
  steps = 0
  /** The power goes when this many steps are done. */
  crashAfterSteps = Number.POSITIVE_INFINITY
  /** Asked before each step. */
  fault: (step: DiskStep, name: string) => DiskFault | undefined = () => undefined
  /** Resolves when the power is gone. */
  readonly died = new Promise<void>((resolve) => {
    this.#died = resolve
  })

  /** A disk on which exactly these files are durable. */
  static of(files: Iterable<readonly [string, Buffer]>): SimulatedDisk {
    const disk = new SimulatedDisk()
    for (const [name, bytes] of files) disk.names.set(name, new Inode(Buffer.from(bytes)))
    disk.#durableNames = new Map(disk.names)
    return disk
  }

  /** The files as the process sees them. */
  contents(): Map<string, Buffer> {
    return new Map([...this.names].map(([name, inode]) => [name, Buffer.from(inode.current)]))
  }

  /** The disk after a power cut; without `random` everything that was not synced is lost. */
  crashed(random?: Random): SimulatedDisk {
    const names = new Map(this.#durableNames)
    for (const change of this.#pending) if (random?.below(2) === 0) change(names)
    return SimulatedDisk.of([...names].map(([name, inode]) => [name, inode.crashed(random)] as const))
  }

  /** The disk after the process was killed: what it wrote is there, synced or not. */
  killed(): SimulatedDisk {
    const disk = new SimulatedDisk()
    const copies = new Map<Inode, Inode>()
    const copyOf = (inode: Inode): Inode => {
      const copy = copies.get(inode) ?? inode.copy()
      copies.set(inode, copy)
      return copy
    }
    for (const [name, inode] of this.names) disk.names.set(name, copyOf(inode))
    for (const [name, inode] of this.#durableNames) disk.#durableNames.set(name, copyOf(inode))
    disk.#pending = this.#pending.map((change) => (names) => {
      change(names)
      for (const [name, inode] of names) names.set(name, copies.get(inode) ?? inode)
    })
    return disk
  }

  makeDirectory(): Promise<void> {
    return Promise.resolve()
  }

  lock(): Promise<DirectoryLock> {
    return Promise.resolve({ verify: () => Promise.resolve(), release: () => Promise.resolve() })
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(this.capacityBytes - this.#usedBytes())
  }

  #usedBytes(): number {
    let used = 0
    for (const { current } of this.names.values()) used += current.length
    return used
  }

  list(): Promise<string[]> {
    return Promise.resolve([...this.names.keys()])
  }

  async open(path: string, mode: 'create' | 'existing'): Promise<WalFile> {
    const name = basename(path)
    if (mode === 'create') {
      await this.#step('create', name)
      const made = new Inode()
      this.#change((names) => names.set(name, made))
    }
    const inode = this.names.get(name)
    if (inode === undefined) throw Object.assign(new Error(`no file ${name}`), { code: 'ENOENT' })
    this.openFiles += 1
    return this.#file(inode, name)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#step('rename', basename(to))
    const inode = this.names.get(basename(from))!
    this.#change((names) => {
      names.set(basename(to), inode)
      names.delete(basename(from))
    })
  }

  async remove(path: string): Promise<void> {
    await this.#step('remove', basename(path))
    if (!this.names.has(basename(path)))
      throw Object.assign(new Error(`no file ${basename(path)}`), { code: 'ENOENT' })
    this.#change((names) => names.delete(basename(path)))
  }

  async syncDirectory(): Promise<void> {
    await this.#step('sync-directory', '')
    this.#durableNames = new Map(this.names)
    this.#pending = []
  }

  #change(change: (names: Map<string, Inode>) => void): void {
    change(this.names)
    this.#pending.push(change)
  }

  #file(inode: Inode, name: string): WalFile {
    return {
      write: async (bytes, position) => {
        const copy = Buffer.from(bytes)
        const isShort = (await this.#step('write', name)) === 'short'
        const growth = Math.max(0, position + copy.length - inode.current.length)
        if (growth > 0 && this.#usedBytes() + growth > this.capacityBytes)
          throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
        const taken = isShort ? copy.subarray(0, copy.length / 2) : copy
        inode.write(taken, position)
        return taken.length
      },
      read: async (bytes, position) => {
        await this.beforeRead()
        const part = inode.current.subarray(position, position + bytes.length)
        bytes.set(part)
        return part.length
      },
      sync: async () => {
        try {
          await this.#step('sync', name)
        } catch (error) {
          inode.failSync()
          throw error
        }
        inode.sync()
      },
      size: () => Promise.resolve(inode.current.length),
      close: () => {
        this.openFiles -= 1
        return Promise.resolve()
      },
    }
  }

  async #step(step: DiskStep, name: string): Promise<DiskFault | undefined> {
    await Promise.resolve()
    if (this.#isDead || this.steps >= this.crashAfterSteps) {
      this.#isDead = true
      this.#died()
      return new Promise<never>(() => undefined) // nobody is left to hear of it
    }
    this.steps += 1
    const fault = this.fault(step, name)
    if (fault !== undefined && fault !== 'short')
      throw Object.assign(new Error(`${step} failed`), { code: fault })
    return fault
  }
}
