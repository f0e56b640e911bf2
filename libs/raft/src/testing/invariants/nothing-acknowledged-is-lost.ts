import type { LogIndex } from '../../core/types.js'
import { commandOf } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/**
 * I14. Raft paper §8, "committed entries will never be lost": what a client was told is done is applied
 * by every member in the end, where the client was told; what it was told is refused, by none.
 */
export function nothingAcknowledgedIsLost(): InvariantCheck {
  const done = new Map<number, LogIndex>()
  const refused = new Set<number>()
  const indexOfSerial = new Map<number, LogIndex>()
  return {
    answered({ serial, kind, outcome, index }) {
      if (kind === 'read') return
      if (outcome === 'done') done.set(serial, index)
      if (outcome !== 'refused') return
      refused.add(serial)
      holds(!indexOfSerial.has(serial), 'what is refused is not done', () => `${serial}`)
    },
    applied(_replica, entry) {
      const serial = commandOf(entry)?.serial
      if (serial === undefined || indexOfSerial.has(serial)) return
      indexOfSerial.set(serial, entry.index)
      holds(!refused.has(serial), 'what is refused is not done', () => `${serial} at ${entry.index}`)
    },
    converged(members) {
      for (const { node, applied } of members)
        for (const [serial, index] of done)
          holds(
            applied >= index && indexOfSerial.get(serial) === index,
            'nothing acknowledged is lost',
            () => `${node} lacks ${serial} at ${index}`,
          )
    },
  }
}
