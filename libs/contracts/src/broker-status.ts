import { BrokerError } from '@sluice/domain'

/** What a broker says of itself, for operators and for plans. */
export interface BrokerStatus {
  readonly version: string
  /** Of the file system with the log. */
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number }
  /** Groups that it leads: id, and about how many bytes the partition takes in the database. */
  readonly led: readonly (readonly [groupId: number, bytes: number])[]
  /** By broker: entries of groups led here that the broker does not have yet. */
  readonly behind: readonly (readonly [brokerId: number, entries: number])[]
}

/** @throws BrokerError BAD_UPSTREAM_ANSWER */
export function parseBrokerStatus(value: unknown): BrokerStatus {
  const { version, disk, led, behind } = record(value)
  const { freeBytes, totalBytes } = record(disk)
  if (typeof version !== 'string') throw malformed()
  return {
    version,
    disk: { freeBytes: natural(freeBytes), totalBytes: natural(totalBytes) },
    led: pairs(led),
    behind: pairs(behind),
  }
}

/** About how many bytes each partition has, by group. */
export function partitionSizes(statuses: Iterable<BrokerStatus>): ReadonlyMap<number, number> {
  return new Map(Array.from(statuses).flatMap(({ led }) => led))
}

function pairs(value: unknown): readonly (readonly [number, number])[] {
  if (!Array.isArray(value)) throw malformed()
  return value.map((pair: unknown) => {
    if (!Array.isArray(pair)) throw malformed()
    return [natural(pair[0]), natural(pair[1])]
  })
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw malformed()
  return value as Record<string, unknown>
}

function natural(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed()
  return value
}

function malformed(): BrokerError {
  return new BrokerError('BAD_UPSTREAM_ANSWER', 'the status of a broker is none', { component: 'broker' })
}
