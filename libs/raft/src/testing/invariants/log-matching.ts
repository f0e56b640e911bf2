import type { Term } from '../../core/types.js'
import { fingerprint } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/**
 * I5. Raft paper, figure 3: "if two logs contain an entry with the same index and term, then the logs
 * are identical in all entries up through the given index." By induction: an index and a term name
 * one entry for ever, and the term of the one before it.
 */
export function logMatching(): InvariantCheck {
  const known = new Map<string, { previousTerm: Term; fingerprint: number }>()
  return {
    settled(node) {
      const from = Math.max(node.changedFrom, node.log.compactedIndex + 1)
      for (let index = from; index <= node.log.lastIndex; index++) {
        const entry = node.log.entry(index)!
        const found = { previousTerm: node.log.term(index - 1) ?? 0, fingerprint: fingerprint(entry) }
        const key = `${index}/${entry.term}`
        const before = known.get(key)
        if (before === undefined) known.set(key, found)
        else
          holds(
            before.fingerprint === found.fingerprint && before.previousTerm === found.previousTerm,
            'log matching',
            () => `${node.id} has another entry ${key}`,
          )
      }
    },
  }
}
