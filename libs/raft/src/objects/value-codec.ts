import { Decoder, Encoder, ExtData, ExtensionCodec } from '@msgpack/msgpack'
import { messageOf } from '@sluice/foundation'
import { UnsupportedValueError, ReplicatedDecodeError } from './errors.js'
import { BIGINT_BYTES_MAX, Extension, scanValue, VALUE_DEPTH_MAX } from './value-scan.js'

/*
 * MessagePack for arguments, results and state. What can be replicated is plain data:
 *
 *     null  undefined  boolean  number (NaN, Infinity and -0 too)  bigint  string  Uint8Array  Date
 *     arrays, plain objects, Map and Set of these, at most 64 deep (a Map or Set counts as two)
 *
 * A value comes back as it was: nothing is rounded, dropped or turned into something else. Whatever
 * would be altered (functions, instances of classes, symbols, unpaired surrogates) is refused.
 */

const NOTHING = new Uint8Array(0)
const UNDEFINED = new ExtData(Extension.UNDEFINED, NOTHING)
const NEGATIVE_ZERO = new ExtData(Extension.NEGATIVE_ZERO, NOTHING)
/** An encoder keeps its buffer; one that had to grow beyond this is let go. */
const KEPT_BYTES_MAX = 1024 * 1024
let encoder = newEncoder()

/**
 * The bytes are the caller's.
 * @throws UnsupportedValueError
 */
export function encodeValue(value: unknown): Uint8Array {
  const bytes = encoder.encode(encodable(value, 1))
  if (bytes.length > KEPT_BYTES_MAX) encoder = newEncoder()
  return bytes
}

/**
 * The value shares nothing with `bytes`, which are checked whole before anything is made of them.
 * @throws ReplicatedDecodeError
 */
export function decodeValue(bytes: Uint8Array): unknown {
  // The decoder's byte arrays are views of what it reads, and that is the log's.
  return decodeChecked(scanValue(bytes).holdsBytes ? bytes.slice() : bytes)
}

function newEncoder(): Encoder {
  return new Encoder({ maxDepth: VALUE_DEPTH_MAX + 1 })
}

/** The value in what MessagePack has; itself, where that is all there is in it. */
function encodable(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      if (/\p{Surrogate}/u.test(value)) throw new UnsupportedValueError('a text with an unpaired surrogate')
      return value
    case 'number':
      return Object.is(value, -0) ? NEGATIVE_ZERO : value
    case 'boolean':
      return value
    case 'undefined':
      return UNDEFINED
    case 'bigint':
      return new ExtData(Extension.BIGINT, bigintBytes(value))
    case 'object':
      return value === null ? null : encodableObject(value, depth)
    default:
      throw new UnsupportedValueError(`a ${typeof value} cannot be replicated`)
  }
}

function encodableObject(value: object, depth: number): unknown {
  if (depth > VALUE_DEPTH_MAX)
    throw new UnsupportedValueError(`a value is nested more than ${VALUE_DEPTH_MAX} deep, or contains itself`)
  if (value instanceof Uint8Array) return value
  if (Array.isArray(value)) return encodableArray(value, depth)
  if (value instanceof Map)
    return collection(
      Extension.MAP,
      [...value].flatMap(([key, held]) => [key, held] as unknown[]),
      depth,
    )
  if (value instanceof Set) return collection(Extension.SET, [...value], depth)
  if (value instanceof Date) return new ExtData(Extension.DATE, dateBytes(value))
  return encodableRecord(value, depth)
}

function collection(type: number, elements: readonly unknown[], depth: number): ExtData {
  if (depth + 1 > VALUE_DEPTH_MAX) throw new UnsupportedValueError('a collection is nested too deeply')
  return new ExtData(type, encoder.encode(encodableArray(elements, depth + 1)))
}

function encodableArray(value: readonly unknown[], depth: number): readonly unknown[] {
  let copy: unknown[] | undefined
  for (let i = 0; i < value.length; i++) {
    const element = value[i]
    const written = encodable(element, depth + 1)
    if (written !== element) copy ??= value.slice()
    if (copy !== undefined) copy[i] = written
  }
  return copy ?? value
}

function encodableRecord(value: object, depth: number): object {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null)
    throw new UnsupportedValueError(`an instance of ${classNameOf(value)} cannot be replicated`)
  let copy: Record<string, unknown> | undefined
  for (const [name, held] of Object.entries(value) as [string, unknown][]) {
    if (name === '__proto__') throw new UnsupportedValueError('a property named __proto__')
    encodable(name, depth)
    const written = encodable(held, depth + 1)
    if (written !== held) copy ??= { ...(value as Record<string, unknown>) }
    if (copy !== undefined) copy[name] = written
  }
  return copy ?? value
}

/** For messages; objects may hide their class. */
function classNameOf(value: object): string {
  const { constructor } = value as { constructor?: unknown }
  return typeof constructor === 'function' && constructor.name !== '' ? constructor.name : 'a class'
}

function bigintBytes(value: bigint): Uint8Array {
  const isNegative = value < 0n
  const digits = (isNegative ? -value : value).toString(16)
  const magnitude = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')
  if (magnitude.length > BIGINT_BYTES_MAX)
    throw new UnsupportedValueError(`a bigint has more than ${BIGINT_BYTES_MAX} bytes`)
  const bytes = new Uint8Array(magnitude.length + 1)
  bytes[0] = isNegative ? 1 : 0
  bytes.set(magnitude, 1)
  return bytes
}

function dateBytes(value: Date): Uint8Array {
  if (Number.isNaN(value.getTime())) throw new UnsupportedValueError('a date that is none')
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setFloat64(0, value.getTime())
  return bytes
}

function decodeChecked(bytes: Uint8Array): unknown {
  try {
    return new Decoder({ extensionCodec: EXTENSIONS }).decode(bytes)
  } catch (error) {
    if (error instanceof ReplicatedDecodeError) throw error
    throw new ReplicatedDecodeError(`a value that cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

function decodeBigint(bytes: Uint8Array): bigint {
  const magnitude = BigInt(`0x${Buffer.from(bytes.subarray(1)).toString('hex')}`)
  return bytes[0] === 1 ? -magnitude : magnitude
}

function decodeMap(bytes: Uint8Array): Map<unknown, unknown> {
  const elements = decodeChecked(bytes) as readonly unknown[]
  const map = new Map<unknown, unknown>()
  for (let i = 0; i < elements.length; i += 2) map.set(elements[i], elements[i + 1])
  return map
}

const EXTENSIONS = new ExtensionCodec()
register(Extension.UNDEFINED, () => undefined)
register(Extension.NEGATIVE_ZERO, () => -0)
register(Extension.BIGINT, decodeBigint)
register(Extension.MAP, decodeMap)
register(Extension.SET, (bytes) => new Set(decodeChecked(bytes) as readonly unknown[]))
register(Extension.DATE, (bytes) => new Date(viewOf(bytes).getFloat64(0)))

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function register(type: number, decode: (bytes: Uint8Array) => unknown): void {
  EXTENSIONS.register({ type, encode: () => null, decode })
}
