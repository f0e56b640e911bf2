import { ReplicatedDecodeError } from './errors.js'
import { decodeValue, encodeValue } from './value-codec.js'

/** What the log carries for replicated objects. */
export type ReplicatedCommand =
  | { readonly kind: 'call'; readonly method: number; readonly args: readonly unknown[] }
  | { readonly kind: 'version'; readonly version: number }
  | { readonly kind: 'open-session' }
  | {
      readonly kind: 'session-call'
      readonly session: number
      /** From 1, one more for each call of the session. */
      readonly sequence: number
      /** The session's calls below this one are answered: their answers may be forgotten. */
      readonly unansweredFrom: number
      readonly method: number
      readonly args: readonly unknown[]
    }

/*
 * version u8 = 1 | kind u8, then, little endian:
 *   CALL          method u32 | args, MessagePack
 *   VERSION       version u32
 *   OPEN_SESSION
 *   SESSION_CALL  session f64 | sequence f64 | unanswered from f64 | method u32 | args
 */
const VERSION = 1
const Kind = { CALL: 1, VERSION: 2, OPEN_SESSION: 3, SESSION_CALL: 4 } as const

export function encodeCommand(command: ReplicatedCommand): Uint8Array {
  switch (command.kind) {
    case 'call': {
      const { bytes, view } = start(Kind.CALL, 4, encodeValue(command.args))
      view.setUint32(2, command.method, true)
      return bytes
    }
    case 'version': {
      const { bytes, view } = start(Kind.VERSION, 4)
      view.setUint32(2, command.version, true)
      return bytes
    }
    case 'open-session':
      return start(Kind.OPEN_SESSION, 0).bytes
    case 'session-call': {
      const { bytes, view } = start(Kind.SESSION_CALL, 28, encodeValue(command.args))
      view.setFloat64(2, command.session, true)
      view.setFloat64(10, command.sequence, true)
      view.setFloat64(18, command.unansweredFrom, true)
      view.setUint32(26, command.method, true)
      return bytes
    }
  }
}

/** @throws ReplicatedDecodeError */
export function decodeCommand(bytes: Uint8Array): ReplicatedCommand {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 2 || view.getUint8(0) !== VERSION)
    throw new ReplicatedDecodeError('a command of another version')
  const need = (count: number): void => {
    if (bytes.length < 2 + count) throw new ReplicatedDecodeError('a command that ends too early')
  }
  switch (view.getUint8(1)) {
    case Kind.CALL:
      need(4)
      return { kind: 'call', method: view.getUint32(2, true), args: argsOf(bytes.subarray(6)) }
    case Kind.VERSION:
      need(4)
      return { kind: 'version', version: view.getUint32(2, true) }
    case Kind.OPEN_SESSION:
      return { kind: 'open-session' }
    case Kind.SESSION_CALL:
      need(28)
      return {
        kind: 'session-call',
        session: natural(view, 2),
        sequence: natural(view, 10),
        unansweredFrom: natural(view, 18),
        method: view.getUint32(26, true),
        args: argsOf(bytes.subarray(30)),
      }
    default:
      throw new ReplicatedDecodeError(`a command of unknown kind ${view.getUint8(1)}`)
  }
}

function start(
  kind: number,
  headBytes: number,
  rest: Uint8Array = new Uint8Array(0),
): { readonly bytes: Uint8Array; readonly view: DataView } {
  const bytes = new Uint8Array(2 + headBytes + rest.length)
  bytes[0] = VERSION
  bytes[1] = kind
  bytes.set(rest, 2 + headBytes)
  return { bytes, view: new DataView(bytes.buffer) }
}

function argsOf(bytes: Uint8Array): readonly unknown[] {
  const args = decodeValue(bytes)
  if (!Array.isArray(args)) throw new ReplicatedDecodeError('arguments that are no list')
  return args
}

function natural(view: DataView, at: number): number {
  const value = view.getFloat64(at, true)
  if (!Number.isSafeInteger(value) || value < 0)
    throw new ReplicatedDecodeError(`${value} is no number of a call`)
  return value
}
