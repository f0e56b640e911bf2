import { BrokerError, type ConsumerId, toConsumerId, type TopicName, toTopicName } from '@sluice/domain'

/** A body or query as it came, with the allowed names known: gates for its fields, errors that name them. */
export class RequestFields {
  readonly #fields: Readonly<Record<string, unknown>>

  /** @throws BrokerError INVALID_REQUEST when it is no object, or has a field that is not in `allowed` */
  constructor(body: unknown, allowed: ReadonlySet<string>) {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new BrokerError('INVALID_REQUEST', `a JSON object is expected, not ${shown(body)}`)
    this.#fields = body as Record<string, unknown>
    for (const name in this.#fields)
      if (!allowed.has(name))
        throw new BrokerError(
          'INVALID_REQUEST',
          `unknown field ${shown(name)}; known are ${[...allowed].join(', ')}`,
          {
            field: name,
          },
        )
  }

  /** The first of the spellings that is present, and its value; the first spelling when none is. */
  pick(spellings: readonly string[]): { readonly field: string; readonly value: unknown } {
    for (const field of spellings) {
      const value = this.#fields[field]
      if (value !== undefined) return { field, value }
    }
    return { field: spellings[0]!, value: undefined }
  }

  value(field: string): unknown {
    return this.#fields[field]
  }

  topic(spellings: readonly string[] = TOPIC_SPELLINGS): TopicName {
    const { field, value } = this.pick(spellings)
    return toTopicName(value, field)
  }

  consumerId(): ConsumerId {
    return toConsumerId(this.#fields['consumer_id'], 'consumer_id')
  }

  /** An integer, as a number or as digits. */
  integer(field: string, bounds: { readonly min: number; readonly max: number }): number | undefined {
    const value = this.#fields[field]
    return value === undefined ? undefined : toInteger(value, field, bounds)
  }

  choice<const T extends string>(field: string, choices: readonly T[], fallback: T): T {
    const value = this.#fields[field] ?? fallback
    const found = choices.find((choice) => choice === value)
    if (found === undefined)
      throw new BrokerError(
        'INVALID_REQUEST',
        `${field} must be ${choices.join(' or ')}, not ${shown(value)}`,
        { field },
      )
    return found
  }

  optionalChoice<const T extends string>(field: string, choices: readonly T[]): T | undefined {
    return this.#fields[field] === undefined ? undefined : this.choice(field, choices, choices[0]!)
  }

  boolean(field: string): boolean {
    const value = this.#fields[field] ?? false
    if (value === true || value === 'true') return true
    if (value === false || value === 'false') return false
    throw new BrokerError('INVALID_REQUEST', `${field} must be true or false, not ${shown(value)}`, { field })
  }
}

export const TOPIC_SPELLINGS = ['topic_name', 'topic'] as const

export function toInteger(
  value: unknown,
  field: string,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  const number = typeof value === 'string' && /^-?[0-9]{1,16}$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < min || number > max)
    throw new BrokerError(
      'INVALID_REQUEST',
      `${field} must be an integer from ${min} to ${max}, not ${shown(value)}`,
      {
        field,
      },
    )
  return number
}

/** Milliseconds since 1970, or text that says a time with its zone (ISO 8601). */
export function toTimestamp(value: unknown, field: string): number {
  const ms =
    typeof value === 'string' && /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:?\d\d)$/.test(value)
      ? Date.parse(value)
      : typeof value === 'string' && /^\d{1,15}$/.test(value)
        ? Number(value)
        : value
  if (typeof ms !== 'number' || !Number.isSafeInteger(ms) || ms < 0 || ms > TIMESTAMP_MAX)
    throw new BrokerError(
      'INVALID_REQUEST',
      `${field} must be milliseconds since 1970 or ISO 8601 text with a zone, not ${shown(value)}`,
      { field },
    )
  return ms
}

/** The end of the year 9999. */
const TIMESTAMP_MAX = 253_402_300_799_999

export function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value) as string | undefined
  return text === undefined ? typeof value : text.length > 60 ? `${text.slice(0, 60)}…` : text
}
