import { ReplicatedDecodeError, ReplicatedDefinitionError } from './errors.js'

/**
 * An object that says itself what its state is. Parts are values as `encodeValue` takes them, each small
 * enough to be encoded in a few milliseconds; `capture` must give the state of this moment, whatever
 * happens to the object while the parts are asked for.
 */
export interface Capturable {
  capture(): Iterable<unknown>
  /** Checks all parts before anything changes. */
  restore(parts: readonly unknown[]): void
}

/** How an object's state is taken and put back. */
export interface ObjectState {
  /** The state as of now; the parts may be asked for later. */
  capture(): Iterable<unknown>
  /** Checks the parts; what it returns puts them in place and does not fail. */
  prepare(parts: readonly unknown[]): () => void
}

/**
 * For an object without `capture` and `restore`: its own fields, all of them, captured as one value. Fields
 * that begin with `#` cannot be seen from outside: an object that has such state captures itself. The
 * fields hold plain data: what two of them share is two things after a restore.
 *
 * @throws ReplicatedDefinitionError for an object of which nothing can be captured
 */
export function stateOf(object: object): ObjectState {
  if (isCapturable(object))
    return {
      capture: () => object.capture(),
      prepare: (parts) => () => object.restore(parts),
    }
  if (fieldsOf(object).length === 0)
    throw new ReplicatedDefinitionError(
      'the object has no fields to capture: give it public fields, or the methods capture and restore',
    )
  return {
    capture: () => [
      Object.fromEntries(fieldsOf(object).map((key) => [key, structuredClone(valueIn(object, key))])),
    ],
    prepare: (parts) => {
      const [fields] = parts
      if (parts.length !== 1 || fields === null || typeof fields !== 'object')
        throw new ReplicatedDecodeError('the state of an object is no record of fields')
      return () => {
        for (const key of fieldsOf(object)) if (!(key in fields)) Reflect.deleteProperty(object, key)
        Object.assign(object, fields)
      }
    },
  }
}

function isCapturable(object: object): object is Capturable {
  return (
    'capture' in object &&
    typeof object.capture === 'function' &&
    'restore' in object &&
    typeof object.restore === 'function'
  )
}

function fieldsOf(object: object): string[] {
  return Object.keys(object).filter((key) => typeof valueIn(object, key) !== 'function')
}

function valueIn(object: object, key: string): unknown {
  return (object as Record<string, unknown>)[key]
}
