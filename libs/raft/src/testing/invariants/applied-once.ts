import type { LogIndex, NodeId } from '../../core/types.js'
import { commandOf } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/**
 * I13. Raft thesis §3.2, "each server applies … in log order": a node applies every entry once, in order,
 * without a gap; a command stands at one index only, and its client is answered once.
 */
export function appliedOnce(): InvariantCheck {
  const last = new Map<NodeId, LogIndex>()
  const indexOfSerial = new Map<number, LogIndex>()
  const answered = new Set<number>()
  return {
    opened(replica) {
      last.set(replica.node, replica.applied)
    },
    snapshot({ node }, meta, { isRestored }) {
      if (isRestored) last.set(node, meta.index)
    },
    applied({ node }, entry) {
      const before = last.get(node) ?? 0
      holds(entry.index === before + 1, 'applied in order', () => `${node}: ${entry.index} after ${before}`)
      last.set(node, entry.index)
      const serial = commandOf(entry)?.serial
      if (serial === undefined) return
      const index = indexOfSerial.get(serial)
      if (index === undefined) indexOfSerial.set(serial, entry.index)
      else
        holds(
          index === entry.index,
          'a command stands once',
          () => `${serial} at ${index} and ${entry.index}`,
        )
    },
    answered({ serial }) {
      holds(!answered.has(serial), 'a call is answered once', () => `${serial}`)
      answered.add(serial)
    },
  }
}
