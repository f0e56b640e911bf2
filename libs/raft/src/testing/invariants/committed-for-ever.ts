import type { LogIndex, NodeId } from '../../core/types.js'
import type { CommitLedger } from './commit-ledger.js'
import { fingerprint } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I8. What any node has committed is what every node commits at that index, and never changes. */
export function committedForEver(ledger: CommitLedger): InvariantCheck {
  const checkedTo = new Map<NodeId, { incarnation: number; index: LogIndex }>()
  return {
    settled(node) {
      const before = checkedTo.get(node.id)
      const known = before?.incarnation === node.incarnation ? before.index : 0
      const from = Math.max(Math.min(known + 1, node.changedFrom), node.log.compactedIndex + 1)
      for (let index = from; index <= node.commit; index++) {
        const entry = node.log.entry(index)
        holds(
          entry !== undefined && fingerprint(entry) === ledger.at(index)?.fingerprint,
          'what is committed stays',
          () => `${node.id} has another entry ${index} of term ${entry?.term ?? -1}`,
        )
      }
      checkedTo.set(node.id, { incarnation: node.incarnation, index: node.commit })
    },
  }
}
