import { WalFailedError } from './errors.js'
import type { WalFile } from './files.js'

const CHUNK_BYTES = 1024 * 1024

/**
 * Fills a new file with zeros, durable. Small syncs: one of a whole segment would hold up those of the log
 * on the same disk.
 *
 * @param isUnwanted asked between chunks; the rest is left out when it says so
 * @returns whether the file has its whole size
 */
export async function fillWithZeros(
  file: WalFile,
  sizeBytes: number,
  isUnwanted: () => boolean,
): Promise<boolean> {
  const zeros = new Uint8Array(Math.min(CHUNK_BYTES, sizeBytes))
  for (let at = 0; at < sizeBytes; at += zeros.length) {
    if (isUnwanted()) return false
    await writeWhole(file, zeros.subarray(0, Math.min(zeros.length, sizeBytes - at)), at)
    await file.sync()
  }
  return !isUnwanted()
}

/** @throws WalFailedError when the file takes only a part */
export async function writeWhole(file: WalFile, bytes: Uint8Array, position: number): Promise<void> {
  const written = await file.write(bytes, position)
  if (written !== bytes.length)
    throw new WalFailedError(`the disk took ${written} of ${bytes.length} bytes at ${position}`)
}
