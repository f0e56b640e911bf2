import { BrokerError } from '@sluice/domain'

/** From this feature level on cursor operations are written in their compact form. */
export const COMPACT_CURSORS_LEVEL = 3

/** The feature level that a kind of entry came with, by its first byte: see `PartitionCommand`. */
const LEVELS: ReadonlyMap<number, number> = new Map([
  [1, 1],
  [2, 1],
  [3, 2],
  [4, 2],
  [5, 2],
  [6, COMPACT_CURSORS_LEVEL],
  [16, 2],
])

/**
 * To be asked of everything that is about to go into a partition's log: a broker of the version before reads
 * it too, and would stop rather than pass over what it does not know.
 * @throws BrokerError UNSUPPORTED_VERSION
 */
export function checkEntryLevel(entry: Uint8Array, featureLevel: number): void {
  const kind = entry[0] ?? 0
  const level = LEVELS.get(kind)
  if (level !== undefined && level <= featureLevel) return
  throw new BrokerError(
    'UNSUPPORTED_VERSION',
    `a partition entry of kind ${kind} takes feature level ${level ?? 'of a later version'}, the cluster is at ${featureLevel}: raise it when every broker can`,
    { component: 'broker', outcome: 'no' },
  )
}
