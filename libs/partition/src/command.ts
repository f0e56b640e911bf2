import { BrokerError } from '@sluice/domain'
import { BUILD_VERSION, unreachable } from '@sluice/foundation'
import { COMPACT_CURSORS, decodeCompactCursors } from './compact-cursors.js'
import type { CursorOperation } from './cursor-operation.js'
import { readRequestId, REQUEST_ID_BYTES as ID_BYTES, writeRequestId } from './request-id.js'

/**
 * What a partition's Raft entries say. The first byte tells the kind:
 *
 *     append  : 1 | one record batch, base offset and leader epoch filled in
 *     trim    : 3 | log start f64
 *     cursors : 4 | count u32 | count × (op u8 | consumer u32 | request 16 bytes | a f64 | b f64 | holder f64)
 *               op 1, grant: a = from, b = to        op 2, set: a = offset, b = 1 when only forwards
 *               op 3, hold: nothing in a, b          op 4, release: a = from, b = 1 when of this holder only
 *     void    : 5 | ids, 16 bytes each
 *     cursors : 2 | the same without holders, ops 1 and 2 only; read, no longer written
 *     cursors : 6 | the same operations in a compact form, see `compact-cursors.ts`
 *     close   : 16 | nothing
 *
 * Little endian. Each kind has the feature level that it came with: see `entry-level.ts`. Many cursor operations share an entry, so that readers cost per turn, not per call.
 */
export type PartitionCommand =
  | { readonly kind: 'append'; readonly batch: Uint8Array }
  | { readonly kind: 'cursors'; readonly operations: readonly CursorOperation[] }
  /** Everything before `logStart` is deleted, on every replica at this place of the log. */
  | { readonly kind: 'trim'; readonly logStart: number }
  /** What was sent under these ids and is not stored here by now is never stored here. */
  | { readonly kind: 'void'; readonly ids: readonly string[] }
  /** From here on the partition takes no messages, for good. */
  | { readonly kind: 'close' }

const APPEND = 1
const CURSORS_WITHOUT_HOLDER = 2
const TRIM = 3
const CURSORS = 4
const VOID = 5
const CLOSE = 16
const GRANT = 1
const SET = 2
const HOLD = 3
const RELEASE = 4
const OPERATION_BYTES_WITHOUT_HOLDER = 1 + 4 + 16 + 8 + 8
const OPERATION_BYTES = OPERATION_BYTES_WITHOUT_HOLDER + 8
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

/** In the form that brokers of the version before read too. */
export function encodeCursors(operations: readonly CursorOperation[]): Uint8Array {
  const command = new Uint8Array(CURSORS_HEADER_BYTES + operations.length * OPERATION_BYTES)
  const view = new DataView(command.buffer)
  view.setUint8(0, CURSORS)
  view.setUint32(1, operations.length, true)
  let at = CURSORS_HEADER_BYTES
  for (const operation of operations) {
    const { op, a, b, holder } = fieldsOf(operation)
    view.setUint8(at, op)
    view.setUint32(at + 1, operation.consumerId, true)
    writeRequestId(command, at + 5, operation.requestId)
    view.setFloat64(at + 21, a, true)
    view.setFloat64(at + 29, b, true)
    view.setFloat64(at + 37, holder, true)
    at += OPERATION_BYTES
  }
  return command
}

interface OperationFields {
  readonly op: number
  readonly a: number
  readonly b: number
  readonly holder: number
}

function fieldsOf(operation: CursorOperation): OperationFields {
  switch (operation.kind) {
    case 'grant':
      return { op: GRANT, a: operation.from, b: operation.to, holder: operation.holder }
    case 'set':
      return { op: SET, a: operation.offset, b: operation.forwardOnly ? 1 : 0, holder: 0 }
    case 'hold':
      return { op: HOLD, a: 0, b: 0, holder: operation.holder }
    case 'release':
      return { op: RELEASE, a: operation.from, b: operation.orEarlier ? 0 : 1, holder: operation.holder }
    default:
      return unreachable(operation)
  }
}

export function encodeTrim(logStart: number): Uint8Array {
  const command = new Uint8Array(TRIM_BYTES)
  const view = new DataView(command.buffer)
  view.setUint8(0, TRIM)
  view.setFloat64(1, logStart, true)
  return command
}

export function encodeVoid(ids: readonly string[]): Uint8Array {
  const command = new Uint8Array(1 + ids.length * ID_BYTES)
  command[0] = VOID
  for (const [i, id] of ids.entries()) writeRequestId(command, 1 + i * ID_BYTES, id)
  return command
}

export function encodeClose(): Uint8Array {
  return Uint8Array.of(CLOSE)
}

/** @throws BrokerError CORRUPT_BATCH when the bytes are no command; never reads past their end */
export function decodePartitionCommand(bytes: Uint8Array): PartitionCommand {
  if (bytes.length < 1) throw new BrokerError('CORRUPT_BATCH', 'an empty entry is no partition command')
  if (bytes[0] === APPEND) return { kind: 'append', batch: batchOf(bytes) }
  if (bytes[0] === CLOSE && bytes.length === 1) return { kind: 'close' }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes[0] === TRIM && bytes.length === TRIM_BYTES)
    return { kind: 'trim', logStart: position(view.getFloat64(1, true)) }
  if (bytes[0] === VOID && bytes.length % ID_BYTES === 1) {
    const ids: string[] = []
    for (let at = 1; at < bytes.length; at += ID_BYTES) ids.push(readRequestId(bytes, at))
    return { kind: 'void', ids }
  }
  if (bytes[0] === COMPACT_CURSORS) return { kind: 'cursors', operations: decodeCompactCursors(bytes) }
  const hasHolders = bytes[0] === CURSORS
  if ((!hasHolders && bytes[0] !== CURSORS_WITHOUT_HOLDER) || bytes.length < CURSORS_HEADER_BYTES)
    throw unreadable(bytes[0]!)
  const count = view.getUint32(1, true)
  const sizeBytes = hasHolders ? OPERATION_BYTES : OPERATION_BYTES_WITHOUT_HOLDER
  if (bytes.length !== CURSORS_HEADER_BYTES + count * sizeBytes)
    throw new BrokerError('CORRUPT_BATCH', `${count} cursor operations do not take ${bytes.length} bytes`)
  const operations: CursorOperation[] = []
  for (let i = 0, at = CURSORS_HEADER_BYTES; i < count; i++, at += sizeBytes) {
    const ids = { consumerId: view.getUint32(at + 1, true), requestId: readRequestId(bytes, at + 5) }
    const fields = {
      op: view.getUint8(at),
      a: position(view.getFloat64(at + 21, true)),
      b: position(view.getFloat64(at + 29, true)),
      holder: hasHolders ? position(view.getFloat64(at + 37, true)) : 0,
    }
    operations.push(operationOf(ids, fields))
  }
  return { kind: 'cursors', operations }
}

function operationOf(
  ids: { readonly consumerId: number; readonly requestId: string },
  { op, a, b, holder }: OperationFields,
): CursorOperation {
  switch (op) {
    case GRANT:
      return { kind: 'grant', ...ids, from: a, to: b, holder }
    case SET:
      return { kind: 'set', ...ids, offset: a, forwardOnly: b === 1 }
    case HOLD:
      return { kind: 'hold', ...ids, holder }
    case RELEASE:
      return { kind: 'release', ...ids, from: a, holder, orEarlier: b === 0 }
    default:
      throw new BrokerError('CORRUPT_BATCH', `cursor operation of unknown kind ${op}`)
  }
}

/** A kind never changes its form: what is new has another number. */
function unreadable(kind: number): BrokerError {
  return [CURSORS, CURSORS_WITHOUT_HOLDER, TRIM, VOID, CLOSE].includes(kind)
    ? new BrokerError('CORRUPT_BATCH', `a partition command of kind ${kind} has the wrong size`)
    : new BrokerError(
        'UNSUPPORTED_VERSION',
        `a partition command of kind ${kind}, which a later version than ${BUILD_VERSION} wrote: start that one`,
        { component: 'broker', outcome: 'no' },
      )
}

function position(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new BrokerError('CORRUPT_BATCH', `${value} is no position in a partition`)
  return value
}
