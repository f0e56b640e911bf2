import type { SnapshotSource } from '../host/state-machine.js'

/** What tells a snapshot's data from any other. */
export interface SnapshotContent {
  /** 16 random bytes, made with the data and handed on with it: the same id is the same data, on every node. */
  readonly id: Uint8Array
  readonly sizeBytes: number
  /** CRC-32 of all of it; `undefined` when only its owner's word is known. */
  readonly crc: number | undefined
}

/** A source whose data can be recognised: a transfer of it is gone on with where another one ended. */
export interface ContentSource extends SnapshotSource {
  readonly content: SnapshotContent
}

/** Those of a snapshot store can be recognised; others, such as those in memory, cannot. */
export function contentOf(source: SnapshotSource): SnapshotContent | undefined {
  return 'content' in source ? (source as ContentSource).content : undefined
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
