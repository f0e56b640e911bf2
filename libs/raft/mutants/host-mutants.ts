import type { Mutant } from './mutant.js'

const SIMULATION = { kind: 'simulation' } as const

function host(name: string): Mutant['caughtBy'] {
  return { kind: 'test', file: 'host.test.ts', name }
}

export const HOST_MUTANTS: readonly Mutant[] = [
  {
    id: 'answer-overtakes-writes',
    bug: 'An answer without a write of its own overtakes the writes before it.',
    file: 'host/raft-group.js',
    find: 'if (last === undefined)',
    replace: 'if (true)',
    caughtBy: SIMULATION,
  },
  {
    id: 'entries-applied-over-snapshot',
    bug: 'Entries that a snapshot holds are applied again (openraft eed681d5).',
    file: 'host/applier.js',
    find: 'Math.max(this.#range.from, this.#restoredTo + 1)',
    replace: 'this.#range.from',
    caughtBy: SIMULATION,
  },
  {
    id: 'log-does-not-follow-snapshot',
    bug: 'After a crash the log does not follow the snapshot that the machine has taken (PySyncObj #197).',
    file: 'host/raft-host.js',
    find: 'this.#followSnapshot(log, settings.snapshot);',
    replace: ';',
    caughtBy: host('crash between'),
  },
  {
    id: 'incarnations-mixed',
    bug: 'Messages of a deleted group reach the one that has its id now (NATS #7668).',
    file: 'host/raft-host.js',
    find: 'if (group?.incarnation === incarnation)',
    replace: 'if (group !== undefined)',
    caughtBy: host('incarnation'),
  },
  {
    id: 'quiesces-with-lagging-member',
    bug: 'A group goes to sleep while a member that is there lacks entries (CRDB #46699).',
    file: 'core/leader.js',
    find: '(peer) => peer.match === last || peer.isLost',
    replace: '() => true',
    caughtBy: SIMULATION,
  },
  {
    id: 'sleeping-group-has-no-leader',
    bug: 'The followers of a sleeping group never notice that its leader is gone (CRDB #26257).',
    file: 'host/raft-host.js',
    find: 'this.#toWake.set(group, peer);',
    nth: 1,
    replace: ';',
    caughtBy: host('falls silent'),
  },
  {
    id: 'returning-member-left-behind',
    bug: 'A sleeping group is not woken for a member that comes back (CRDB #104212).',
    file: 'host/raft-host.js',
    find: 'this.#toWake.set(group, peer);',
    nth: 2,
    replace: ';',
    caughtBy: host('a learner that comes back'),
  },
  {
    id: 'leads-with-hanging-disk',
    bug: 'A leader whose disk hangs keeps its leadership (NATS #7853).',
    file: 'host/raft-host.js',
    find: 'if (!(isStalled && group.isLeader))',
    replace: 'if (true)',
    caughtBy: host('disk that hangs'),
  },
  {
    id: 'snapshot-never-tried-again',
    bug: 'A snapshot that did not arrive is not sent again.',
    file: 'host/raft-host.js',
    find: 'retry.group.snapshotFailed(retry.peer);',
    replace: '',
    caughtBy: host('sent again'),
  },
  {
    id: 'decoder-trusts-lengths',
    bug: 'An entry that says it is longer than the frame is cut short in silence (NATS #8092).',
    file: 'host/codec.js',
    find: 'if (size > bytes.length - start)',
    replace: 'if (false)',
    caughtBy: { kind: 'test', file: 'host-codec.test.ts', name: '' },
  },
  {
    id: 'decoder-takes-any-kind',
    bug: 'A message of a kind that is not known gets as far as the core, which fails on it.',
    file: 'host/codec.js',
    find: 'if (!isMessageKind(kind))',
    replace: 'if (false)',
    caughtBy: { kind: 'test', file: 'host-codec.test.ts', name: '' },
  },
]
