import type { Mutant } from './mutant.js'

const SIMULATION = { kind: 'simulation' } as const

function host(name: string): Mutant['caughtBy'] {
  return { kind: 'test', file: 'host.test.ts', name }
}

export const MEMBERSHIP_MUTANTS: readonly Mutant[] = [
  {
    id: 'joint-commit-by-new-majority',
    bug: 'A joint configuration commits by the new majority alone.',
    file: 'core/quorum.js',
    find: 'return votersOutgoing.length === 0 ? value : Math.min(value, majorityValue(votersOutgoing.map(valueOf)));',
    replace: 'return value;',
    caughtBy: SIMULATION,
  },
  {
    id: 'joint-election-by-new-majority',
    bug: 'A joint configuration elects by the new majority alone (openraft 6c0ccaf3).',
    file: 'core/quorum.js',
    find: 'if (configuration.votersOutgoing.length === 0)',
    replace: 'if (true)',
    caughtBy: SIMULATION,
  },
  {
    id: 'no-joint-configuration',
    bug: 'Several voters are changed in one step, so that majorities need not overlap.',
    file: 'core/configuration.js',
    find: 'added + removed > 1 ? [...present.voters] : []',
    replace: '[]',
    caughtBy: SIMULATION,
  },
  {
    id: 'change-before-own-commit',
    bug: 'A new leader changes the configuration before an entry of its term is committed (the 2015 flaw).',
    file: 'core/leader.js',
    find: 'return commit < this.#noopIndex || membership.index > commit || isJoint(membership.configuration);',
    replace: 'return membership.index > commit || isJoint(membership.configuration);',
    caughtBy: { kind: 'test', file: 'paper-membership.test.ts', name: '' },
  },
  {
    id: 'changes-overlap',
    bug: 'A change begins while another is not committed (NATS #7565).',
    file: 'core/leader.js',
    find: 'return commit < this.#noopIndex || membership.index > commit || isJoint(membership.configuration);',
    replace: 'return commit < this.#noopIndex;',
    caughtBy: SIMULATION,
  },
  {
    id: 'truncated-change-stays',
    bug: 'A configuration stays in force after its entry was cut off (NATS #8332, ra #600).',
    file: 'core/raft-log.js',
    find: 'this.membership.truncated(index);',
    replace: '',
    caughtBy: SIMULATION,
  },
  {
    id: 'change-forgotten-by-restart',
    bug: 'A restart forgets the configurations in the log (openraft 6c0ccaf3, NATS #7589).',
    file: 'core/membership.js',
    find: 'this.#add(entry);',
    nth: 1,
    replace: ';',
    caughtBy: SIMULATION,
  },
  {
    id: 'joint-never-left',
    bug: 'Nobody ends a joint configuration.',
    file: 'core/leader.js',
    find: 'if (isJoint(configuration) && membership.index <= this.#state.commit)',
    replace: 'if (false)',
    caughtBy: SIMULATION,
  },
  {
    id: 'removed-leader-stays',
    bug: 'A leader that was removed goes on leading.',
    file: 'core/core.js',
    find: 'if (this.#leader?.isRemoved !== true)',
    replace: 'if (true)',
    caughtBy: host('removed'),
  },
  {
    id: 'learner-refuses-vote',
    bug: 'A learner that was made a voter, and does not know, refuses the vote that is needed (etcd #10998).',
    file: 'core/voter.js',
    find: 'const preVote = request.kind === MessageKind.PRE_VOTE;',
    nth: 1,
    replace:
      'const preVote = request.kind === MessageKind.PRE_VOTE;\n    if (!state.membership.isVoter) return;',
    caughtBy: { kind: 'test', file: 'core-election.test.ts', name: 'learner' },
  },
  {
    id: 'new-member-not-probed',
    bug: 'Nothing is sent to a new member until the next proposal.',
    file: 'core/leader.js',
    find: 'this.#replication.reconfigure(firstIndex);',
    replace: 'this.#replication.reconfigure(firstIndex + 1);',
    caughtBy: host('new node'),
  },
  {
    id: 'snapshot-keeps-conflicting-suffix',
    bug: 'A snapshot over a log that differs keeps the log (openraft 674e78aa).',
    file: 'core/follower.js',
    find: 'if (state.log.term(snapshot.index) === snapshot.term) {',
    replace: 'if (snapshot.index <= state.log.lastIndex) {',
    caughtBy: SIMULATION,
  },
  {
    id: 'snapshot-wipes-good-suffix',
    bug: 'A snapshot that the log agrees with throws away what follows it (etcd raft #110, tikv #9349).',
    file: 'core/follower.js',
    find: 'if (state.log.term(snapshot.index) === snapshot.term) {',
    replace: 'if (false) {',
    caughtBy: { kind: 'test', file: 'scenario-files.test.ts', name: 'snapshot-and-the-log' },
  },
  {
    id: 'snapshot-behind-commit-taken',
    bug: 'A snapshot older than what is committed is installed (NATS #7620, #8321).',
    file: 'core/follower.js',
    find: 'if (snapshot.index <= state.commit)',
    replace: 'if (false)',
    caughtBy: SIMULATION,
  },
]
