import { closeSync, fstatSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'

/**
 * Which bytes of which file were written and not synced: what a power failure may take, and a kill does
 * not. One slot for each file, overwritten in place; the page cache keeps it when the process is killed.
 *
 *     slot : inode f64 | from f64 | to f64        from = to: everything is synced
 */
const SLOT_BYTES = 24
const SLOTS_MAX = 1024

export interface UnsyncedRange {
  readonly inode: number
  readonly from: number
  readonly to: number
}

/** The ranges that a journal shows, empty ones left out. */
export function unsyncedRanges(journalFile: string): readonly UnsyncedRange[] {
  const bytes = readFileSync(journalFile)
  const ranges: UnsyncedRange[] = []
  for (let at = 0; at + SLOT_BYTES <= bytes.length; at += SLOT_BYTES) {
    const from = bytes.readDoubleLE(at + 8)
    const to = bytes.readDoubleLE(at + 16)
    if (to > from) ranges.push({ inode: bytes.readDoubleLE(at), from, to })
  }
  return ranges
}

interface OpenFile {
  readonly slot: number
  readonly inode: number
  from: number
  to: number
}

/** Keeps the journal of one process. */
export class SyncJournal {
  readonly #descriptor: number
  readonly #files = new WeakMap<FileHandle, OpenFile>()
  readonly #slot = Buffer.alloc(SLOT_BYTES)
  #slotCount = 0

  constructor(journalFile: string) {
    this.#descriptor = openSync(journalFile, 'w')
  }

  /** Before the bytes are written: what is written in part is not synced either. */
  written(handle: FileHandle, from: number, to: number): void {
    const file = this.#fileOf(handle)
    if (file.from === file.to) file.from = from
    else file.from = Math.min(file.from, from)
    file.to = Math.max(file.to, to)
    this.#note(file)
  }

  /** @returns what to call when the sync is done: later writes are not part of it */
  syncing(handle: FileHandle): () => void {
    const file = this.#fileOf(handle)
    const { to } = file
    return () => {
      if (file.to === to) file.from = file.to
      else file.from = Math.max(file.from, to)
      this.#note(file)
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  #fileOf(handle: FileHandle): OpenFile {
    const known = this.#files.get(handle)
    if (known !== undefined) return known
    const file = { slot: this.#slotCount++ % SLOTS_MAX, inode: fstatSync(handle.fd).ino, from: 0, to: 0 }
    this.#files.set(handle, file)
    return file
  }

  #note({ slot, inode, from, to }: OpenFile): void {
    this.#slot.writeDoubleLE(inode, 0)
    this.#slot.writeDoubleLE(from, 8)
    this.#slot.writeDoubleLE(to, 16)
    writeSync(this.#descriptor, this.#slot, 0, SLOT_BYTES, slot * SLOT_BYTES)
  }
}
