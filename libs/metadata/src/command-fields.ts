import { BrokerError } from '@sluice/domain'

/** Readers of what another process wrote. All throw BrokerError INVALID_REQUEST that names the field and the rule. */
export function record(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(field, 'an object')
  return value as Record<string, unknown>
}

export function list(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(field, 'a list')
  return value
}

export function text(value: unknown, field: string): string {
  if (typeof value !== 'string' || value.length > 1000) throw invalid(field, 'text')
  return value
}

export function natural(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw invalid(field, 'a natural number')
  return value
}

export function positive(value: unknown, field: string): number {
  const number = natural(value, field)
  if (number < 1) throw invalid(field, 'positive')
  return number
}

export function oneOf<const T extends string>(value: unknown, field: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value)
  if (found === undefined) throw invalid(field, choices.join(' or '))
  return found
}

export function invalid(field: string, expected: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `${field} of a metadata command must be ${expected}`, { field })
}
