import { decode, encode, ExtensionCodec } from '@msgpack/msgpack'
import { messageOf } from '@sluice/foundation'
import { ReplicatedDecodeError } from './errors.js'

const UNDEFINED = 1
const MAP = 2
const SET = 3
/** Containers in containers. */
const DEPTH_MAX = 100
const NOTHING = new Uint8Array(0)

/** Stands for `undefined`, which MessagePack would make null. */
class UndefinedMark {
  readonly stands = 'undefined'
}
const UNDEFINED_MARK = new UndefinedMark()

const extensions = new ExtensionCodec()
extensions.register({
  type: MAP,
  encode: (value) => (value instanceof Map ? encodeValue([...(value as Map<unknown, unknown>)]) : null),
  decode: (data) => new Map(asArray(decodeValue(data)) as [unknown, unknown][]),
})
extensions.register({
  type: SET,
  encode: (value) => (value instanceof Set ? encodeValue([...(value as Set<unknown>)]) : null),
  decode: (data) => new Set(asArray(decodeValue(data))),
})
extensions.register({
  type: UNDEFINED,
  encode: (value) => (value instanceof UndefinedMark ? NOTHING : null),
  decode: () => undefined,
})

/**
 * A value as MessagePack: what JSON has, and bytes, bigint of 64 bits, Date, Map, Set and undefined.
 * @throws Error for functions, symbols and cycles
 */
export function encodeValue(value: unknown): Uint8Array {
  const marked = holdsUndefined(value, 0) ? withMarks(value) : value
  return encode(marked, { extensionCodec: extensions, useBigInt64: true, maxDepth: DEPTH_MAX })
}

/**
 * Bytes come out as copies. Never takes more memory than a few times what the bytes do.
 * @throws ReplicatedDecodeError
 */
export function decodeValue(bytes: Uint8Array): unknown {
  try {
    const bound = bytes.length
    return copied(
      decode(bytes, {
        extensionCodec: extensions,
        useBigInt64: true,
        maxStrLength: bound,
        maxBinLength: bound,
        maxArrayLength: bound,
        maxMapLength: bound,
        maxExtLength: bound,
      }),
    )
  } catch (error) {
    throw new ReplicatedDecodeError(`not a value: ${messageOf(error)}`)
  }
}

function holdsUndefined(value: unknown, depth: number): boolean {
  if (value === undefined) return true
  if (value === null || typeof value !== 'object' || depth > DEPTH_MAX) return false
  if (Array.isArray(value)) return value.some((inner) => holdsUndefined(inner, depth + 1))
  return isRecord(value) && Object.values(value).some((inner) => holdsUndefined(inner, depth + 1))
}

function withMarks(value: unknown): unknown {
  if (value === undefined) return UNDEFINED_MARK
  if (Array.isArray(value)) return value.map(withMarks)
  if (!isRecord(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withMarks(inner)]))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype
}

function asArray(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new ReplicatedDecodeError('a container without its list')
  return value
}

/** Views of the input become arrays of their own: the input is a log entry, which must not be held on to. */
function copied(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value)
  if (Array.isArray(value)) return value.map(copied)
  if (isRecord(value))
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copied(inner)]))
  return value
}
