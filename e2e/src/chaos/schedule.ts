import { invariant, type Random } from '@sluice/foundation'
import { type Fault, type FaultFamily, type FaultKind, type FaultScope, factsOf } from './fault.js'

/** Faults that hold together for a time, and the quiet after them. */
export interface Episode {
  readonly faults: readonly Fault[]
  readonly holdMs: number
  readonly quietMs: number
}

export interface ScheduleOptions {
  readonly random: Random
  readonly brokerCount: number
  /** Of each kind: read managers, write managers, load balancers. */
  readonly copies: number
  readonly kinds: readonly FaultKind[]
  /** The episodes take at least this long together. */
  readonly durationMs: number
}

const COMBINED_SHARE = 0.4
const QUIET_MS_MIN = 3000
const QUIET_MS_SPREAD = 3000

/** How long a kind holds: [least, spread]. Damage and a full disk need time to show. */
const HOLD_MS: Readonly<Record<FaultFamily, readonly [least: number, spread: number]>> = {
  broker: [2000, 3000],
  manager: [1000, 2000],
  database: [3000, 5000],
  link: [3000, 4000],
  disk: [8000, 3000],
  // The others must have elected, and caught up, while the damaged one is away: else a majority is damaged.
  log: [6000, 2000],
  clock: [2000, 3000],
  // Long enough for some partitions to move to the broker that came.
  membership: [5000, 4000],
}

/**
 * The whole run, decided before it starts: the same seed gives the same faults in the same order. Every
 * kind comes once before any comes twice, some alone and some with one of another family.
 */
export function planEpisodes(options: ScheduleOptions): readonly Episode[] {
  const { random, kinds, durationMs } = options
  invariant(kinds.length > 0, 'there is a fault to plan')
  const episodes: Episode[] = []
  let deck: FaultKind[] = []
  for (let plannedMs = 0; plannedMs < durationMs;) {
    if (deck.length === 0) deck = shuffled(kinds, random)
    const first = deck.pop()!
    const chosen = [first]
    if (random.next() < COMBINED_SHARE) {
      const at = deck.findLastIndex((kind) => mayJoin(first, kind))
      if (at >= 0) chosen.push(...deck.splice(at, 1))
    }
    const holdMs = Math.max(...chosen.map((kind) => holdOf(kind, random)))
    const quietMs = QUIET_MS_MIN + random.below(QUIET_MS_SPREAD)
    episodes.push({ faults: chosen.map((kind) => planFault(kind, options)), holdMs, quietMs })
    plannedMs += holdMs + quietMs
  }
  return episodes
}

/**
 * Damage to a log takes acknowledged bytes from one broker: with another one hurt at the same time more
 * than a minority would be gone, and nothing could be promised. It goes with managers only. A broker that comes has its
 * database on a server of the others.
 */
export function mayJoin(one: FaultKind, other: FaultKind): boolean {
  const [a, b] = [factsOf(one).family, factsOf(other).family]
  if (a === b) return false
  if ([a, b].includes('database') && [a, b].includes('membership')) return false
  if (a === 'log' || a === 'disk') return b === 'manager'
  if (b === 'log' || b === 'disk') return a === 'manager'
  return true
}

/** How many brokers a scope takes. */
export function scopeSize(scope: FaultScope, brokerCount: number): number {
  const majority = Math.floor(brokerCount / 2) + 1
  switch (scope) {
    case 'one':
      return 1
    case 'minority':
      return Math.max(1, brokerCount - majority)
    case 'majority':
      return majority
    case 'all':
      return brokerCount
  }
}

function planFault(kind: FaultKind, { random, brokerCount, copies }: ScheduleOptions): Fault {
  const seed = random.below(2 ** 31)
  const { scope } = factsOf(kind)
  const brokers = shuffled(
    Array.from({ length: brokerCount }, (_, i) => i + 1),
    random,
  )
  if (scope !== undefined) {
    const targets = brokers.slice(0, scopeSize(scope, brokerCount))
    return { kind, targets: targets.sort((a, b) => a - b), seed }
  }
  if (kind === 'rolling-restart') return { kind, targets: brokers, seed }
  // The only broker whose directory lies on a file system of a size of its own.
  if (kind === 'disk-full') return { kind, targets: [brokerCount], seed }
  if (kind === 'kill-front' || kind === 'broker-comes-and-goes') return { kind, targets: [], seed }
  return { kind, targets: [1 + random.below(copies)], seed }
}

function holdOf(kind: FaultKind, random: Random): number {
  const [least, spread] = HOLD_MS[factsOf(kind).family]
  return least + random.below(spread)
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[result[i], result[j]] = [result[j]!, result[i]!]
  }
  return result
}
