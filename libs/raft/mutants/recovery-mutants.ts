import type { Mutant } from './mutant.js'

function recovery(name: string): Mutant['caughtBy'] {
  return { kind: 'test', file: 'core-recovery.test.ts', name }
}

/** Ways for a node that lost its log to take back what it promised. */
export const RECOVERY_MUTANTS: readonly Mutant[] = [
  {
    id: 'recovers-with-one-answer',
    bug: 'A node that lost its log takes part again once anybody has answered.',
    file: 'core/quorum.js',
    find: '> voterCount - quorumSize(voterCount);',
    replace: '> 0;',
    caughtBy: recovery('waits for'),
  },
  {
    id: 'recovering-node-votes',
    bug: 'A node that lost its log votes in a term in which it may have voted.',
    file: 'core/core.js',
    find: 'this.#state.forgoVote();',
    replace: 'this.#recovery = undefined;',
    caughtBy: recovery('votes for nobody there'),
  },
  {
    id: 'recovered-before-caught-up',
    bug: 'A node that lost its log votes before it has what was committed with its help.',
    file: 'core/recovery.js',
    find: 'return commit >= target && log.durableIndex >= target && this.#isAnswered(membership.configuration);',
    replace: 'return this.#isAnswered(membership.configuration);',
    caughtBy: recovery('votes only once it has'),
  },
  {
    id: 'leader-remembers-lost-log',
    bug: 'A leader counts what a node acknowledged before its disk lost it.',
    file: 'core/progress.js',
    find: 'this.match = 0;',
    replace: '',
    caughtBy: recovery('counts nothing that was acknowledged before'),
  },
  {
    id: 'recovering-node-believes-heartbeats',
    bug: 'A node that lost its log commits what the leader believes to be there.',
    file: 'core/core.js',
    find: 'this.#recovery?.isUnknown === true',
    replace: 'false',
    caughtBy: recovery('believes no heartbeat'),
  },
  {
    id: 'earlier-process-heard',
    bug: 'What an earlier process of a peer sent is heard after a later one spoke.',
    file: 'host/raft-host.js',
    find: 'if (epoch < (this.#epochs.get(from) ?? 0))',
    replace: 'if (false)',
    caughtBy: { kind: 'test', file: 'host.test.ts', name: 'an earlier process' },
  },
]
