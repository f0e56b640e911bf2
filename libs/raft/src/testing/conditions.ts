import type { Random } from '@sluice/foundation'
import type { DecisionKind } from './decision.js'

export interface NetworkFaults {
  /** Milliseconds a frame takes, at most. */
  readonly delayMs: number
  /** Parts of all frames, from 0 to 1. */
  readonly lost: number
  readonly doubled: number
  /** Frames of one link arrive in the order they were sent. */
  readonly ordered: boolean
  /** A frame on its way reaches the next process of a node that restarts meanwhile. */
  readonly outlivesProcesses: boolean
}

export interface DiskTimes {
  /** Milliseconds a sync takes, at most, unless it is a slow one. */
  readonly syncMs: number
  /** The part of syncs that take up to fifty times as long. */
  readonly slowPart: number
}

/** Bounds of a group's core, small enough to be reached. */
export interface SmallLimits {
  readonly inflightMessagesMax: number
  readonly inflightBytesMax: number
  readonly appendBytesMax: number
  readonly uncommittedBytesMax: number
  readonly readsMax: number
}

/** What a run is like, drawn from its seed. All of it is data, so that a script can say it. */
export interface Conditions {
  readonly network: NetworkFaults
  readonly disk: DiskTimes
  readonly limits: SmallLimits
  readonly heartbeatTicks: number
  readonly quiesceTicks: number
  /** A turn of the event loop comes so much later at most, milliseconds. */
  readonly turnDelayMs: number
  /** Clocks run by so much faster or slower, from 0 to 1. */
  readonly clockSpread: number
  /** The newest entries that a log has in memory; older ones come from the disk. */
  readonly cachedEntries: number
  /** Without snapshots, logs are kept for the slowest member and members never change. */
  readonly snapshots: boolean
  /** Milliseconds a snapshot takes to be opened, sent and restored, at most each. */
  readonly snapshotMs: number
  /** The part of snapshots that fail on the way. */
  readonly snapshotLost: number
  /** A machine restarts from a snapshot, else from a database that is ahead of the last one. */
  readonly restartsFromSnapshot: boolean
  /** Mean times between two calls of clients, two operations and two faults. Milliseconds. */
  readonly callEveryMs: number
  readonly operateEveryMs: number
  readonly faultEveryMs: number
  /** How often each kind of operation or fault occurs, relative to the others; those that are not here never. */
  readonly weights: Readonly<Partial<Record<DecisionKind, number>>>
}

export const NO_NETWORK_FAULTS: NetworkFaults = {
  delayMs: 2,
  lost: 0,
  doubled: 0,
  ordered: true,
  outlivesProcesses: false,
}

/** Each of them is on in some of the runs. */
const FAULTS = [
  'crash',
  'crashInTurn',
  'crashAll',
  'stop',
  'pause',
  'clock',
  'diskStall',
  'cut',
  'isolate',
  'split',
  'bridge',
  'reset',
  'replay',
  'corrupt',
] as const satisfies readonly DecisionKind[]

const OPERATIONS = [
  'transfer',
  'campaign',
  'checkpoint',
  'compact',
  'reopen',
  'recreate',
] as const satisfies readonly DecisionKind[]

/** Those that need members that change, and therefore snapshots. */
const MEMBERSHIP = [
  'addVoter',
  'addLearner',
  'addPromotable',
  'remove',
  'demote',
  'members',
  'destroy',
] as const satisfies readonly DecisionKind[]

/** A node that has lost its log may need what the others have compacted. */
const LOSSES = ['loseLog'] as const satisfies readonly DecisionKind[]

/** Operations, as opposed to faults. */
export function isOperation(kind: DecisionKind): boolean {
  return [...OPERATIONS, ...MEMBERSHIP, ...LOSSES].some((operation) => operation === kind)
}

/** Some runs are calm and some are not, each in its own way. */
export function drawConditions(random: Random): Conditions {
  const lossy = random.below(2) === 0
  const snapshots = random.below(6) > 0
  const network = {
    delayMs: pick(random, [1, 4, 15, 40]),
    lost: lossy ? random.next() * 0.2 : 0,
    doubled: lossy ? random.next() * 0.2 : 0,
    ordered: random.below(2) === 0,
    outlivesProcesses: random.below(2) === 0,
  }
  return {
    network,
    disk: { syncMs: pick(random, [0.5, 2, 8]), slowPart: pick(random, [0, 0, 0.02]) },
    limits: {
      inflightMessagesMax: pick(random, [1, 3, 64]),
      inflightBytesMax: pick(random, [200, 2000, 100_000]),
      appendBytesMax: pick(random, [1, 300, 4000]),
      uncommittedBytesMax: pick(random, [1000, 20_000, 100_000]),
      readsMax: pick(random, [2, 100]),
    },
    heartbeatTicks: pick(random, [1, 2, 3]),
    quiesceTicks: pick(random, [0, 3, 12]),
    turnDelayMs: pick(random, [0, 0.5, 3]),
    clockSpread: pick(random, [0, 0.05, 0.3]),
    cachedEntries: pick(random, [2, 20, 1_000_000]),
    snapshots,
    snapshotMs: pick(random, [1, 20, 120]),
    snapshotLost: pick(random, [0, 0.3]),
    restartsFromSnapshot: random.below(2) === 0,
    callEveryMs: pick(random, [2, 5, 20]),
    operateEveryMs: pick(random, [5, 15, 50]),
    faultEveryMs: pick(random, [15, 40, 120]),
    weights: drawWeights(random, snapshots),
  }
}

function drawWeights(random: Random, snapshots: boolean): Conditions['weights'] {
  const weights: Partial<Record<DecisionKind, number>> = {}
  const draw = (kinds: readonly DecisionKind[], onPart: number): void => {
    for (const kind of kinds) if (random.next() < onPart) weights[kind] = pick(random, [1, 2, 4])
  }
  const part = pick(random, [0.2, 0.5, 0.8])
  draw(FAULTS, part)
  if (weights.crashAll !== undefined) weights.crashAll = 0.5
  draw(OPERATIONS, part)
  if (snapshots && random.below(4) > 0) draw(MEMBERSHIP, 0.7)
  if (snapshots) draw(LOSSES, 0.5)
  // A log that is never compacted needs no snapshots.
  if (random.below(4) > 0) weights.compact = 8
  // Groups that come and go, or whose leader does, all the time get nothing done.
  for (const rare of ['recreate', 'destroy', 'loseLog'] as const)
    if (weights[rare] !== undefined) weights[rare] = 0.1
  for (const rare of ['transfer', 'campaign', 'reopen'] as const)
    if (weights[rare] !== undefined) weights[rare] = 0.5
  return weights
}

/** Simpler runs of the same kind, for a failing one to be told in the simplest. */
export function simplerConditions(conditions: Conditions): readonly Conditions[] {
  return [
    { ...conditions, network: { ...conditions.network, lost: 0, doubled: 0 } },
    { ...conditions, network: { ...conditions.network, ordered: true } },
    { ...conditions, network: { ...conditions.network, outlivesProcesses: false } },
    { ...conditions, network: { ...conditions.network, delayMs: 1 } },
    { ...conditions, disk: { syncMs: 1, slowPart: 0 } },
    { ...conditions, quiesceTicks: 0 },
    { ...conditions, turnDelayMs: 0 },
    { ...conditions, clockSpread: 0 },
    { ...conditions, cachedEntries: 1_000_000 },
    { ...conditions, snapshotLost: 0 },
    { ...conditions, snapshotMs: 1 },
    {
      ...conditions,
      limits: {
        inflightMessagesMax: 64,
        inflightBytesMax: 100_000,
        appendBytesMax: 4000,
        uncommittedBytesMax: 100_000,
        readsMax: 100,
      },
    },
  ]
}

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[random.below(choices.length)]!
}
