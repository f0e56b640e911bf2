import type { Mutant } from './mutant.js'

const LOSSES = ['lost', 'invented', 'replicas-differ', 'offsets'] as const
/** A broker that finds its state broken ends, and comes up no more. */
const STUCK = ['recovery', 'convergence'] as const

const FORGET_RUNS = ['return this.#runs.get(id)?.known;', 'return undefined;'] as const

/** Bugs that brokers have had, or might have; each is to be caught by the checks. */
export const MUTANTS: readonly Mutant[] = [
  {
    id: 'acknowledges-before-sync',
    bug: 'The log says that bytes are durable as soon as they are written.',
    changes: [{ file: 'libs/raft/dist/wal/writer.js', find: 'await segment.file.sync();', replace: '' }],
    faults: ['power-loss'],
    caughtBy: [...LOSSES, ...STUCK],
  },
  {
    id: 'acknowledges-before-commit',
    bug: 'Produce is answered when the leader has taken the batch, not when a majority has it.',
    changes: [
      {
        file: 'apps/broker/dist/partition-replica.js',
        find: 'projection.appended(index, header, plan.baseOffset, runs);',
        replace: `projection.appended(index, header, plan.baseOffset, runs);
        decided.catch(() => undefined);
        return this.#produced(plan.baseOffset, header.recordCount, false);`,
      },
    ],
    faults: ['cut-both', 'kill-one', 'kill-all'],
    caughtBy: LOSSES,
  },
  {
    id: 'commits-without-majority',
    bug: 'The leader counts nobody but itself.',
    changes: [
      {
        file: 'libs/raft/dist/core/replication.js',
        find: 'voter === id ? log.durableIndex : this.progress(voter).match',
        replace: 'log.durableIndex',
      },
    ],
    faults: ['cut-both', 'kill-one', 'pause-one'],
    caughtBy: [...LOSSES, ...STUCK],
  },
  {
    id: 'applies-twice',
    bug: 'After a restart the last entries are applied once more.',
    changes: [
      {
        file: 'libs/partition/dist/state.js',
        find: 'this.#appliedIndex = snapshot?.appliedIndex ?? 0;',
        replace: 'this.#appliedIndex = Math.max(0, (snapshot?.appliedIndex ?? 0) - 3);',
      },
    ],
    faults: ['kill-one', 'kill-all'],
    caughtBy: [...LOSSES, ...STUCK],
  },
  {
    id: 'forgets-applied-index',
    bug: 'A restarted replica applies its log from the start, on top of what the database holds.',
    changes: [
      {
        file: 'apps/broker/dist/replica-set.js',
        find: 'applied: snapshot?.appliedIndex ?? 0,',
        replace: 'applied: 0,',
      },
    ],
    faults: ['kill-one', 'kill-all'],
    caughtBy: [...LOSSES, ...STUCK],
  },
  {
    id: 'purges-too-early',
    bug: 'The log is freed up to what is committed, whatever the database has.',
    changes: [
      {
        file: 'apps/broker/dist/log-compaction.js',
        find: 'compact(group, materialisedIndex);',
        replace: 'compact(group, group.commit);',
      },
      {
        file: 'apps/broker/dist/log-compaction.js',
        find: 'compact(metadata.group, metadata.snapshotIndex);',
        replace: 'compact(metadata.group, metadata.group.commit);',
      },
    ],
    faults: ['postgres-stop-all', 'kill-all'],
    caughtBy: [...LOSSES, ...STUCK],
  },
  {
    id: 'stale-leader-answers',
    bug: 'A leader that was deposed, and does not know, answers consumers from what it had.',
    changes: [
      {
        file: 'apps/broker/dist/partition-replica.js',
        find: 'barrier() {',
        replace: 'barrier() { return new Promise((resolve) => setImmediate(resolve));',
      },
      { file: 'libs/raft/dist/core/replication.js', find: 'return active;', replace: 'return true;' },
    ],
    faults: ['cut-both', 'pause-one'],
    caughtBy: ['consumer-went-back', 'consumer-skipped', 'consumer-wrong-message', 'consumer-told-empty'],
  },
  {
    id: 'reuses-offsets',
    bug: 'A new leader gives out offsets before it has applied what earlier leaders committed.',
    changes: [
      {
        file: 'apps/broker/dist/partition-replica.js',
        find: 'if (role !== Role.LEADER)',
        replace:
          'if (role === Role.LEADER) this.#projection = new LeaderProjection(this.#state);\n        else',
      },
    ],
    faults: ['kill-one', 'pause-one', 'cut-both'],
    caughtBy: [...LOSSES, ...STUCK, 'same-place', 'duplicate'],
  },
  {
    id: 'forgets-producer-sequences',
    bug: 'A batch that is sent again is stored again.',
    changes: [
      {
        file: 'libs/partition/dist/producer-sequence.js',
        find: 'if (known === undefined ||',
        replace: 'if (true ||',
      },
      // Else the batch is known by the ids of its messages.
      { file: 'libs/partition/dist/duplicate-window.js', find: FORGET_RUNS[0], replace: FORGET_RUNS[1] },
    ],
    faults: ['kill-one', 'pause-one', 'cut-outgoing', 'cut-both'],
    caughtBy: ['duplicate', 'wrong-refusal'],
  },
  {
    id: 'forgets-message-ids',
    bug: 'A message that is sent again through another write manager is stored again.',
    changes: [
      { file: 'libs/partition/dist/duplicate-window.js', find: FORGET_RUNS[0], replace: FORGET_RUNS[1] },
    ],
    faults: ['kill-write-manager', 'kill-load-balancer', 'kill-front'],
    caughtBy: ['duplicate', 'wrong-refusal'],
  },
  {
    id: 'forgets-cursors',
    bug: 'A restarted replica knows no consumer’s position.',
    changes: [
      {
        file: 'libs/persistence/dist/partition-store.js',
        find: 'cursors: (cursors.get(state.group_id) ?? []).map((row)',
        replace: 'cursors: [].map((row)',
      },
    ],
    faults: ['kill-all', 'rolling-restart'],
    caughtBy: ['consumer-went-back', 'consumer-skipped', ...STUCK],
  },
  {
    id: 'forgets-grants',
    bug: 'A consume call that is repeated after a lost answer gets the next messages, not the same.',
    changes: [
      {
        file: 'libs/partition/dist/cursor.js',
        find: 'return row?.grants.find((grant) => grant.requestId === requestId && grant.released !== true);',
        replace: 'return undefined;',
      },
    ],
    faults: ['kill-one', 'pause-one', 'cut-outgoing', 'kill-read-manager', 'kill-load-balancer'],
    caughtBy: ['consumer-skipped'],
  },
  {
    id: 'releases-what-others-hold',
    bug: 'Messages are given back by a read manager though another one has delivered them since.',
    changes: [
      {
        file: 'libs/partition/dist/cursor.js',
        find: 'if (!isHolder || operation.from >= held.to)',
        replace: 'if (operation.from >= held.to)',
      },
    ],
    faults: ['kill-one', 'pause-one', 'cut-outgoing', 'pause-read-manager', 'kill-load-balancer'],
    caughtBy: ['consumer-went-back'],
  },
  {
    id: 'drops-what-the-database-refuses',
    bug: 'A transaction that fails counts as written.',
    changes: [
      {
        file: 'apps/broker/dist/materialiser.js',
        find: `await this.#materialise(shares);
                if (`,
        replace: `await this.#materialise(shares).catch(() => undefined);
                if (`,
      },
    ],
    faults: ['postgres-stop-all', 'kill-all'],
    caughtBy: [...LOSSES, ...STUCK],
  },
  {
    id: 'skips-a-batch',
    bug: 'One batch in a hundred never reaches the database of one broker, and replicas are not compared.',
    changes: [
      {
        // What compares replicas would mend them within seconds, and say so.
        file: 'apps/broker/dist/check-keeper.js',
        find: 'super(parts.everyMs, () => this.#checkOne());',
        replace: 'super(parts.everyMs, () => Promise.resolve());',
      },
      {
        file: 'libs/persistence/dist/delta-writer.js',
        find: 'const { inserts, totals } = gatherBatches(fresh, stored, slice);',
        replace: `for (const delta of fresh)
        for (let at = delta.batches.length - 1; at >= 0; at--)
            if (delta.batches[at].index % 100 === 0 && process.env.BROKER_ID === '2') delta.batches.splice(at, 1);
    const { inserts, totals } = gatherBatches(fresh, stored, slice);`,
      },
    ],
    faults: ['kill-write-manager'],
    caughtBy: [...LOSSES, ...STUCK],
  },
  {
    id: 'deletes-too-much',
    bug: 'Half of what a topic keeps is deleted too.',
    changes: [
      {
        file: 'libs/persistence/dist/retention-start.js',
        find: 'await startByCount(db, { groupId, state, messages })',
        replace: 'await startByCount(db, { groupId, state, messages: messages / 2 })',
      },
    ],
    faults: ['kill-write-manager'],
    caughtBy: ['deleted-too-much'],
  },
  {
    id: 'believes-an-emptied-database',
    bug: 'A database that lacks what the log was relieved of is taken as it is.',
    changes: [
      {
        file: 'apps/broker/dist/database-recovery.js',
        find: 'if (index < log.compactedIndex)',
        replace: 'if (false)',
      },
    ],
    faults: ['postgres-emptied', 'postgres-restored'],
    caughtBy: [...LOSSES, ...STUCK],
  },
  {
    id: 'gives-ids-twice',
    bug: 'Two producers get the same id.',
    changes: [
      {
        file: 'libs/metadata/dist/state/actor-commands.js',
        find: 'id: tables.nextIds.producer++',
        replace: 'id: (tables.nextIds.producer += 0.5, Math.floor(tables.nextIds.producer))',
      },
    ],
    faults: ['kill-write-manager'],
    caughtBy: ['metadata-ids', 'metadata-lost', 'metadata-differs'],
  },
]

/** @throws Error that names the known ones */
export function mutantById(id: string): Mutant {
  const mutant = MUTANTS.find((candidate) => candidate.id === id)
  if (mutant === undefined)
    throw new Error(`no mutant is called ${id}; known: ${MUTANTS.map((known) => known.id).join(', ')}`)
  return mutant
}
