import { fingerprint } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/**
 * I7. Raft paper, figure 3: "if a server has applied a log entry at a given index to its state machine,
 * no other server will ever apply a different log entry for the same index." Nor is any state reached
 * that differs from the others' at the same index.
 */
export function stateMachineSafety(): InvariantCheck {
  const known: { readonly fingerprint: number; readonly stateHash: number }[] = []
  return {
    applied(node, entry) {
      const found = { fingerprint: fingerprint(entry), stateHash: node.stateHash }
      const before = known[entry.index] ?? found
      holds(
        before.fingerprint === found.fingerprint && before.stateHash === found.stateHash,
        'state machine safety',
        () => `${node.id} applied another entry ${entry.index}`,
      )
      known[entry.index] = before
    },
  }
}
