import type { Brand } from '@sluice/foundation'
import { BrokerError } from './errors.js'

/** Position of a message in one partition: starts at 0, has no gaps, is never reused. */
export type Offset = Brand<number, 'Offset'>

/** The only gate from `number` to `Offset`. @throws BrokerError INVALID_REQUEST */
export function toOffset(value: number, field = 'offset'): Offset {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new BrokerError('INVALID_REQUEST', `${field} must be a non-negative integer, not ${value}`, {
      field,
    })
  return value as Offset
}
