/** Feature levels that a build can run in. */
export interface FeatureRange {
  readonly min: number
  readonly max: number
}

/**
 * The feature levels of this build. A cluster is at one level; what came with a higher one is refused until
 * every broker can do it and an operator has raised the level, so that until then a broker can go back to the
 * version before. A build runs in the highest level of the version before, and in its own.
 */
export const FEATURES: FeatureRange = { min: 2, max: 3 }

/** From here on snapshots of partitions may come without their batches, which brokers get from each other. */
export const HEAD_SNAPSHOTS_LEVEL = 3

/**
 * From here on the audit trail has every step of plans and moves, and who asked for it. Below it, it says what the
 * version before says: the state that commands make is the same in both.
 */
export const DETAILED_AUDIT_LEVEL = 3

/** From here on a plan gives partitions the replicas that they lack, whatever the reason. */
export const MISSING_REPLICAS_LEVEL = 3

/** From here on a sign of life puts right what a clock that ran ahead has noted of when somebody was seen. */
export const CLOCKS_SET_LEVEL = 3

/** From here on the deletion of a topic names which one is meant, so that it can be repeated. */
export const REPEATED_DELETION_LEVEL = 3

/** What a broker says that it can; one that says nothing is of the first version. */
export const FIRST_FEATURES: FeatureRange = { min: 1, max: 1 }

export function supports({ min, max }: FeatureRange, level: number): boolean {
  return min <= level && level <= max
}

/** Undefined unless the value is a range of levels. */
export function toFeatureRange(value: unknown): FeatureRange | undefined {
  const { min, max } = (value ?? {}) as Record<string, unknown>
  if (!isLevel(min) || !isLevel(max) || min > max) return undefined
  return { min, max }
}

function isLevel(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1
}
