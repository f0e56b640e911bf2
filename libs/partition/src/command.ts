import { BrokerError } from '@sluice/domain'
import { unreachable } from '@sluice/foundation'

/**
 * What a partition's Raft entries say. The first byte tells the kind:
 *
 *     append  : 1 | one record batch, base offset and leader epoch filled in
 *     cursors : 2 | count u32 | count × (op u8 | consumer u32 | request 16 bytes | a f64 | b f64)
 *               op 1, grant: a = from, b = to        op 2, set: a = offset, b = 1 when only forwards
 *     trim    : 3 | log start f64
 *
 * Little endian. Many cursor operations share an entry, so that readers cost per turn, not per call.
 */
export type PartitionCommand =
  | { readonly kind: 'append'; readonly batch: Uint8Array }
  | { readonly kind: 'cursors'; readonly operations: readonly CursorOperation[] }
  /** Everything before `logStart` is deleted, on every replica at this place of the log. */
  | { readonly kind: 'trim'; readonly logStart: number }

export type CursorOperation =
  | {
      readonly kind: 'grant'
      readonly consumerId: number
      readonly requestId: string
      readonly from: number
      readonly to: number
    }
  | {
      readonly kind: 'set'
      readonly consumerId: number
      readonly requestId: string
      readonly offset: number
      /** An acknowledgement: never moves the cursor back. */
      readonly forwardOnly: boolean
    }

const APPEND = 1
const CURSORS = 2
const TRIM = 3
const GRANT = 1
const SET = 2
const OPERATION_BYTES = 1 + 4 + 16 + 8 + 8
const CURSORS_HEADER_BYTES = 5
const TRIM_BYTES = 1 + 8

/** Bytes of room that an append command needs in front of its batch. */
export const APPEND_HEADER_BYTES = 1

/** The command for one batch; copies the batch once, so that the caller's buffer is free again. */
export function encodeAppend(batch: Uint8Array): Uint8Array {
  const command = new Uint8Array(APPEND_HEADER_BYTES + batch.length)
  command[0] = APPEND
  command.set(batch, APPEND_HEADER_BYTES)
  return command
}

/** The batch inside an append command: a view, which shares the command's memory. */
export function batchOf(command: Uint8Array): Uint8Array {
  return command.subarray(APPEND_HEADER_BYTES)
}

export function encodeCursors(operations: readonly CursorOperation[]): Uint8Array {
  const command = new Uint8Array(CURSORS_HEADER_BYTES + operations.length * OPERATION_BYTES)
  const view = new DataView(command.buffer)
  view.setUint8(0, CURSORS)
  view.setUint32(1, operations.length, true)
  let at = CURSORS_HEADER_BYTES
  for (const operation of operations) {
    view.setUint8(at, operation.kind === 'grant' ? GRANT : SET)
    view.setUint32(at + 1, operation.consumerId, true)
    writeRequestId(command, at + 5, operation.requestId)
    switch (operation.kind) {
      case 'grant':
        view.setFloat64(at + 21, operation.from, true)
        view.setFloat64(at + 29, operation.to, true)
        break
      case 'set':
        view.setFloat64(at + 21, operation.offset, true)
        view.setFloat64(at + 29, operation.forwardOnly ? 1 : 0, true)
        break
      default:
        unreachable(operation)
    }
    at += OPERATION_BYTES
  }
  return command
}

export function encodeTrim(logStart: number): Uint8Array {
  const command = new Uint8Array(TRIM_BYTES)
  const view = new DataView(command.buffer)
  view.setUint8(0, TRIM)
  view.setFloat64(1, logStart, true)
  return command
}

/** @throws BrokerError CORRUPT_BATCH when the bytes are no command; never reads past their end */
export function decodePartitionCommand(bytes: Uint8Array): PartitionCommand {
  if (bytes.length < 1) throw new BrokerError('CORRUPT_BATCH', 'an empty entry is no partition command')
  if (bytes[0] === APPEND) return { kind: 'append', batch: batchOf(bytes) }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes[0] === TRIM && bytes.length === TRIM_BYTES)
    return { kind: 'trim', logStart: position(view.getFloat64(1, true)) }
  if (bytes[0] !== CURSORS || bytes.length < CURSORS_HEADER_BYTES)
    throw new BrokerError('CORRUPT_BATCH', `partition command of unknown kind ${bytes[0]!}`)
  const count = view.getUint32(1, true)
  if (bytes.length !== CURSORS_HEADER_BYTES + count * OPERATION_BYTES)
    throw new BrokerError('CORRUPT_BATCH', `${count} cursor operations do not take ${bytes.length} bytes`)
  const operations: CursorOperation[] = []
  for (let i = 0, at = CURSORS_HEADER_BYTES; i < count; i++, at += OPERATION_BYTES) {
    const op = view.getUint8(at)
    const consumerId = view.getUint32(at + 1, true)
    const requestId = readRequestId(bytes, at + 5)
    const a = position(view.getFloat64(at + 21, true))
    const b = position(view.getFloat64(at + 29, true))
    if (op === GRANT) operations.push({ kind: 'grant', consumerId, requestId, from: a, to: b })
    else if (op === SET)
      operations.push({ kind: 'set', consumerId, requestId, offset: a, forwardOnly: b === 1 })
    else throw new BrokerError('CORRUPT_BATCH', `cursor operation of unknown kind ${op}`)
  }
  return { kind: 'cursors', operations }
}

function position(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new BrokerError('CORRUPT_BATCH', `${value} is no position in a partition`)
  return value
}

function writeRequestId(into: Uint8Array, at: number, hex: string): void {
  for (let i = 0; i < 16; i++) into[at + i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16)
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

function readRequestId(from: Uint8Array, at: number): string {
  let hex = ''
  for (let i = 0; i < 16; i++) hex += HEX[from[at + i]!]!
  return hex
}
