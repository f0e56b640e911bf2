import type { Term } from '../../core/types.js'
import { fingerprint } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

const TERMS_MAX = 0x10_0000

/**
 * I5. Raft paper, figure 3: "if two logs contain an entry with the same index and term, then the logs
 * are identical in all entries up through the given index." By induction: an index and a term name
 * one entry for ever, and the term of the one before it.
 */
export function logMatching(): InvariantCheck {
  const known = new Map<number, { previousTerm: Term; fingerprint: number }>()
  return {
    settled({ node, changedFrom, log }) {
      const from = Math.max(changedFrom, log.compactedIndex + 1)
      for (let index = from; index <= log.lastIndex; index++) {
        const entry = log.entry(index)!
        const previousTerm = log.term(index - 1)!
        const key = index * TERMS_MAX + entry.term
        const before = known.get(key)
        const found = fingerprint(entry)
        if (before === undefined) known.set(key, { previousTerm, fingerprint: found })
        else
          holds(
            before.fingerprint === found && before.previousTerm === previousTerm,
            'log matching',
            () => `${node} has another entry ${index} of term ${entry.term}`,
          )
        holds(previousTerm <= entry.term, 'terms in a log never decrease', () => `${node}: entry ${index}`)
      }
    },
  }
}
