import type { WalFile, WalFiles } from '../wal/files.js'

/** An open file of the store. */
export type SnapshotFile = WalFile

/** What the store asks of a file system; the seam where tests put faults. */
export type SnapshotFiles = Omit<WalFiles, 'lock'>

/** Fills as much of `bytes` as the file has from `position` on; resolves with how much that is. */
export async function readFully(file: SnapshotFile, bytes: Uint8Array, position: number): Promise<number> {
  let have = 0
  while (have < bytes.length) {
    const count = await file.read(bytes.subarray(have), position + have)
    if (count === 0) break
    have += count
  }
  return have
}
