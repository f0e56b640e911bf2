import { fingerprint } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'
import type { StateLedger } from './state-ledger.js'

/**
 * I7. Raft paper, figure 3: "if a server has applied a log entry at a given index to its state machine,
 * no other server will ever apply a different log entry for the same index." Nor is any state reached
 * that differs from the others' at the same index.
 */
export function stateMachineSafety(states: StateLedger): InvariantCheck {
  return {
    applied({ node, stateHash }, entry) {
      const found = { fingerprint: fingerprint(entry), stateHash }
      const before = states.record(entry.index, found)
      holds(
        before.fingerprint === found.fingerprint,
        'state machine safety',
        () => `${node} applied another entry ${entry.index}`,
      )
      holds(
        before.stateHash === stateHash,
        'state machine safety',
        () => `${node} has another state at ${entry.index}`,
      )
    },
  }
}
