import { BrokerError } from '@sluice/domain'

/**
 * When a topic gets another partition: when its open partitions hold, on average, more messages or bytes than
 * the limit, or when each of them takes more messages a second; or only when it is asked for.
 */
export type TopicGrowth =
  { readonly by: 'off' } | { readonly by: 'messages' | 'bytes' | 'rate'; readonly limit: number }

export const GROWTH_KINDS = ['off', 'messages', 'bytes', 'rate'] as const

/** The gate for a growth from the log or another process. @throws BrokerError INVALID_REQUEST */
export function parseTopicGrowth(value: unknown): TopicGrowth {
  const { by, limit } = (value ?? {}) as Record<string, unknown>
  const kind = GROWTH_KINDS.find((known) => known === by)
  if (kind === undefined) throw invalid('growth', GROWTH_KINDS.join(' or '))
  if (kind === 'off') return { by: kind }
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 1)
    throw invalid('growth_limit', 'a positive integer')
  return { by: kind, limit }
}

function invalid(field: string, expected: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `${field} of a topic must be ${expected}`, { field })
}
