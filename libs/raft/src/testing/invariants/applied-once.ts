import type { LogIndex, NodeId } from '../../core/types.js'
import { serialOf } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I13. A node applies every entry once, in order, without a gap; a command stands at one index only. */
export function appliedOnce(): InvariantCheck {
  const last = new Map<NodeId, LogIndex>()
  const indexOfSerial = new Map<number, LogIndex>()
  return {
    applied(node, entry) {
      const before = last.get(node.id) ?? 0
      holds(
        entry.index === before + 1,
        'applied in order',
        () => `${node.id}: ${entry.index} after ${before}`,
      )
      last.set(node.id, entry.index)
      const serial = serialOf(entry)
      if (serial === undefined) return
      const index = indexOfSerial.get(serial) ?? entry.index
      holds(index === entry.index, 'a command stands once', () => `${serial} at ${index} and ${entry.index}`)
      indexOfSerial.set(serial, index)
    },
    restarted(node) {
      last.set(node.id, node.applied)
    },
  }
}
