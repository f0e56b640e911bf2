import { toBrokerError } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { type MetadataCommand, parseMetadataCommand } from '@sluice/metadata'

/** What a broker tells a follower of the metadata. */
export interface FollowAnswer {
  /** Instead of entries that the broker no longer has. */
  readonly snapshot: unknown
  readonly entries: readonly (readonly [index: number, command: MetadataCommand])[]
  /** Everything up to here is in this answer or in earlier ones. */
  readonly version: number
}

/** @throws BrokerError BAD_UPSTREAM_ANSWER, INVALID_REQUEST */
export function parseFollowAnswer(json: unknown): FollowAnswer {
  const { snapshot, entries, version } = fields(json)
  if (!Array.isArray(entries)) throw broken('entries')
  return {
    snapshot: snapshot ?? undefined,
    entries: entries.map((entry: unknown) => {
      if (!Array.isArray(entry) || entry.length !== 2) throw broken('entries')
      return [position(entry[0], 'entries'), parseMetadataCommand(entry[1])]
    }),
    version: position(version, 'version'),
  }
}

/** @throws BrokerError the refusal that the answer carries; BAD_UPSTREAM_ANSWER */
export function parseProposeAnswer(json: unknown): {
  readonly version: number
  readonly result: Record<string, unknown>
} {
  const { version, result } = fields(json)
  const parsed = fields(result)
  if (parsed['error'] !== undefined) throw toBrokerError(parsed['error'])
  return { version: position(version, 'version'), result: parsed }
}

export function parseVersionAnswer(json: unknown): number {
  return position(fields(json)['version'], 'version')
}

function fields(json: unknown): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw broken('answer')
  return json as Record<string, unknown>
}

function position(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw broken(field)
  return value
}

function broken(field: string): BrokerError {
  return new BrokerError('BAD_UPSTREAM_ANSWER', `a broker's answer has no valid ${field}`, {
    component: 'broker',
    outcome: 'unknown',
  })
}
