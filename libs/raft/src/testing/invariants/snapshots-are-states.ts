import { decodeConfiguration, sameConfiguration } from '../../core/configuration.js'
import type { CommitLedger } from './commit-ledger.js'
import { holds, type InvariantCheck } from './invariant-check.js'
import type { StateLedger } from './state-ledger.js'

/**
 * I18. Raft paper §7: a snapshot holds "the last included index and term", "the latest configuration in the
 * log as of last included index", and the state that all entries up to there give.
 */
export function snapshotsAreStates(ledger: CommitLedger, states: StateLedger): InvariantCheck {
  return {
    snapshot({ node }, { index, term, configuration }, { stateHash }) {
      const about = (): string => `${node} at ${index} of term ${term}`
      holds(index >= 1 && index <= ledger.lastIndex, 'a snapshot is of what is committed', about)
      holds(ledger.at(index)?.term === term, 'a snapshot has the term of its last entry', about)
      holds(states.at(index)?.stateHash === stateHash, 'a snapshot is the state at its index', about)
      const committed = ledger.configurationAt(index)
      holds(
        sameConfiguration(decodeConfiguration(configuration), committed),
        'a snapshot has the configuration at its index',
        about,
      )
    },
  }
}
