import type { LogIndex } from '../../core/types.js'
import { serialOf } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I14. What a client was told is stored is applied by every node in the end, where the client was told. */
export function nothingAcknowledgedIsLost(): InvariantCheck {
  const acknowledged = new Map<number, LogIndex>()
  const appliedSerials: number[] = []
  return {
    acknowledged(serial, index) {
      acknowledged.set(serial, index)
    },
    applied(_node, entry) {
      const serial = serialOf(entry)
      if (serial !== undefined) appliedSerials[entry.index] = serial
    },
    converged({ nodes }) {
      for (const node of nodes)
        for (const [serial, index] of acknowledged) {
          const kept = node.applied >= index && appliedSerials[index] === serial
          holds(kept, 'nothing acknowledged is lost', () => `${node.id} lacks ${serial} at ${index}`)
        }
    },
  }
}
