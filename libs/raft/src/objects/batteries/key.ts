import { ArgumentError } from './bounded.js'

/** What a dictionary's keys and a set's members may be: values that are equal when they look equal. */
export type Key = string | number | bigint | boolean | null

/** @throws ArgumentError */
export function checkedKey(key: unknown): Key {
  if (key === null || typeof key === 'string' || typeof key === 'boolean' || typeof key === 'bigint')
    return key
  if (typeof key === 'number' && !Number.isNaN(key)) return key === 0 ? 0 : key
  throw new ArgumentError('a key is a string, number, bigint, boolean or null')
}
