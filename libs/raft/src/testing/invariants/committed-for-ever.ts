import type { LogIndex, NodeId } from '../../core/types.js'
import type { CommitLedger } from './commit-ledger.js'
import { fingerprint } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I8. Raft paper §5.3, "committed entries are durable": what any node has committed stands at its index in every log that has committed as far, and never changes. */
export function committedForEver(ledger: CommitLedger): InvariantCheck {
  const checkedTo = new Map<NodeId, { opening: number; index: LogIndex }>()
  return {
    settled({ node, opening, commit, changedFrom, log }) {
      const before = checkedTo.get(node)
      const known = before?.opening === opening ? before.index : 0
      const from = Math.max(Math.min(known + 1, changedFrom), log.compactedIndex + 1)
      for (let index = from; index <= commit; index++) {
        const entry = log.entry(index)
        holds(
          entry !== undefined && fingerprint(entry) === ledger.at(index)?.fingerprint,
          'what is committed stays',
          () => `${node} has another entry ${index}, of term ${entry?.term ?? -1}`,
        )
      }
      checkedTo.set(node, { opening, index: commit })
    },
  }
}
