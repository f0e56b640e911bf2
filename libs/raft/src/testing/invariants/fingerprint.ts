import type { Entry } from '../../core/types.js'

/** A number that tells entries apart by term, kind and bytes. */
export function fingerprint(entry: Entry): number {
  let hash = Math.imul(0x811c9dc5 ^ entry.term, 0x01000193) ^ entry.kind
  for (const byte of entry.data) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/** The serial number of a command of the workload; `undefined` for other entries. */
export function serialOf(entry: Entry): number | undefined {
  if (entry.data.length < 4) return undefined
  return new DataView(entry.data.buffer, entry.data.byteOffset).getUint32(0)
}

export function commandOf(serial: number, sizeBytes: number): Uint8Array {
  const data = new Uint8Array(Math.max(4, sizeBytes))
  new DataView(data.buffer).setUint32(0, serial)
  return data
}
