import { Role } from '../../core/types.js'
import type { CommitLedger } from './commit-ledger.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/**
 * I6. Raft paper, figure 3: "if a log entry is committed in a given term, then that entry will be
 * present in the logs of the leaders for all higher-numbered terms."
 */
export function leaderCompleteness(ledger: CommitLedger): InvariantCheck {
  const checked = new Set<string>()
  return {
    settled({ node, role, term, log }) {
      if (role !== Role.LEADER) return
      const leadership = `${node} in ${term}`
      if (checked.has(leadership)) return
      checked.add(leadership)
      for (let index = Math.max(1, log.compactedIndex); index <= ledger.lastIndex; index++) {
        const committed = ledger.at(index)
        if (committed === undefined || committed.committedIn >= term) continue
        holds(
          log.term(index) === committed.term,
          'leader completeness',
          () => `${leadership} lacks entry ${index} of term ${committed.term}`,
        )
      }
    },
  }
}
