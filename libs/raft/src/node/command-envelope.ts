import { invariant } from '@sluice/foundation'
import type { OutgoingCommand } from './pending-commands.js'

/**
 * A command as it stands in the log, so that the node that asked for it knows it again when it is
 * applied there, and so that every node sees the same time.
 */
export interface CommandEnvelope {
  /** Of the process that asked: 48 random bits, drawn anew at each start. */
  readonly instance: number
  /** Of the command within the instance. */
  readonly sequence: number
  /** Wall time of the leader when it took the command, milliseconds since 1970 UTC. Not below any before it. */
  readonly timeMs: number
  readonly payload: Uint8Array
}

/** Bytes that are no command of this version. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError'
}

/*
 * entry   : version u8 = 1 | instance u48 | sequence u48 | timeMs u48 | payload        (little endian)
 * forward : version u8 = 1 | instance u48 | term u48 | count u32 | count × (sequence u48 | size u32 | payload)
 */
const VERSION = 1
export const ENVELOPE_BYTES = 19
const FORWARD_HEAD_BYTES = 17
const FORWARDED_BYTES = 10
const U16 = 0x1_0000
const U32 = 0x1_0000_0000
/** One over the largest number that fits. */
export const U48 = U16 * U32

export function encodeEnvelope(envelope: CommandEnvelope): Uint8Array {
  const { instance, sequence, timeMs, payload } = envelope
  const bytes = new Uint8Array(ENVELOPE_BYTES + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, VERSION)
  putU48(view, 1, instance)
  putU48(view, 7, sequence)
  putU48(view, 13, timeMs)
  bytes.set(payload, ENVELOPE_BYTES)
  return bytes
}

/** The payload is a view of `bytes`. @throws EnvelopeError */
export function decodeEnvelope(bytes: Uint8Array): CommandEnvelope {
  if (bytes.length < ENVELOPE_BYTES || bytes[0] !== VERSION)
    throw new EnvelopeError('an entry that holds no command of this version')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    instance: getU48(view, 1),
    sequence: getU48(view, 7),
    timeMs: getU48(view, 13),
    payload: bytes.subarray(ENVELOPE_BYTES),
  }
}

/** Commands of one node for the leader of one term. */
export interface ForwardedCommands {
  readonly instance: number
  /** The leader takes them in this term only. */
  readonly term: number
  readonly commands: readonly OutgoingCommand[]
}

export function encodeForwarded({ instance, term, commands }: ForwardedCommands): Uint8Array {
  const payloadBytes = commands.reduce((sum, { payload }) => sum + FORWARDED_BYTES + payload.length, 0)
  const bytes = new Uint8Array(FORWARD_HEAD_BYTES + payloadBytes)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, VERSION)
  putU48(view, 1, instance)
  putU48(view, 7, term)
  view.setUint32(13, commands.length, true)
  let at = FORWARD_HEAD_BYTES
  for (const { sequence, payload } of commands) {
    putU48(view, at, sequence)
    view.setUint32(at + 6, payload.length, true)
    bytes.set(payload, at + FORWARDED_BYTES)
    at += FORWARDED_BYTES + payload.length
  }
  return bytes
}

/** The payloads are views of `bytes`. @throws EnvelopeError before anything is handed out */
export function decodeForwarded(bytes: Uint8Array): ForwardedCommands {
  if (bytes.length < FORWARD_HEAD_BYTES || bytes[0] !== VERSION)
    throw new EnvelopeError('forwarded commands of another version')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = view.getUint32(13, true)
  if (count * FORWARDED_BYTES > bytes.length - FORWARD_HEAD_BYTES)
    throw new EnvelopeError('forwarded commands end too soon')
  const commands: OutgoingCommand[] = []
  let at = FORWARD_HEAD_BYTES
  for (let i = 0; i < count; i++) {
    const start = at + FORWARDED_BYTES
    if (start > bytes.length) throw new EnvelopeError('forwarded commands end too soon')
    const sizeBytes = view.getUint32(at + 6, true)
    if (sizeBytes > bytes.length - start) throw new EnvelopeError('a forwarded command ends too soon')
    commands.push({ sequence: getU48(view, at), payload: bytes.subarray(start, start + sizeBytes) })
    at = start + sizeBytes
  }
  if (at !== bytes.length) throw new EnvelopeError('something follows the forwarded commands')
  return { instance: getU48(view, 1), term: getU48(view, 7), commands }
}

function putU48(view: DataView, at: number, value: number): void {
  invariant(Number.isInteger(value) && value >= 0 && value < U48, 'the number fits 48 bits')
  view.setUint32(at, value >>> 0, true)
  view.setUint16(at + 4, Math.floor(value / U32), true)
}

function getU48(view: DataView, at: number): number {
  return view.getUint16(at + 4, true) * U32 + view.getUint32(at, true)
}
