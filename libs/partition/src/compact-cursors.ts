import { BrokerError } from '@sluice/domain'
import { unreachable } from '@sluice/foundation'
import type { CursorOperation } from './cursor-operation.js'
import { readRequestId, REQUEST_ID_BYTES, writeRequestId } from './request-id.js'
import { VARINT_BYTES_MAX, VarintReader, writeVarint } from './varint.js'

/*
 *     cursors : 6 | count | count × (op u8 | consumer | request 16 bytes | fields of the op)
 *               op 1, grant: from, to, holder         op 2, set: offset      op 3, set, only forwards: offset
 *               op 4, hold: holder                    op 5, release: from, holder
 *               op 6, release, also of an earlier holder: from, holder
 *
 * Every number is a varint: a grant takes 26 to 45 bytes where the wide form takes 45, and every call of a
 * consumer is an entry on the disks of all replicas.
 */
export const COMPACT_CURSORS = 6

const Op = { GRANT: 1, SET: 2, SET_FORWARD: 3, HOLD: 4, RELEASE: 5, RELEASE_EARLIER: 6 } as const
const OPERATION_BYTES_MAX = 1 + REQUEST_ID_BYTES + 4 * VARINT_BYTES_MAX

export function encodeCompactCursors(operations: readonly CursorOperation[]): Uint8Array {
  const bytes = new Uint8Array(1 + VARINT_BYTES_MAX + operations.length * OPERATION_BYTES_MAX)
  bytes[0] = COMPACT_CURSORS
  let at = writeVarint(bytes, 1, operations.length)
  for (const operation of operations) {
    const [op, ...numbers] = fieldsOf(operation)
    bytes[at] = op
    at = writeVarint(bytes, at + 1, operation.consumerId)
    writeRequestId(bytes, at, operation.requestId)
    at += REQUEST_ID_BYTES
    for (const number of numbers) at = writeVarint(bytes, at, number)
  }
  // Cut to size: the log keeps what it is given, and with a view all that lies behind it.
  return bytes.slice(0, at)
}

function fieldsOf(operation: CursorOperation): [op: number, ...numbers: number[]] {
  switch (operation.kind) {
    case 'grant':
      return [Op.GRANT, operation.from, operation.to, operation.holder]
    case 'set':
      return [operation.forwardOnly ? Op.SET_FORWARD : Op.SET, operation.offset]
    case 'hold':
      return [Op.HOLD, operation.holder]
    case 'release':
      return [operation.orEarlier ? Op.RELEASE_EARLIER : Op.RELEASE, operation.from, operation.holder]
    default:
      return unreachable(operation)
  }
}

/** @throws BrokerError CORRUPT_BATCH */
export function decodeCompactCursors(bytes: Uint8Array): readonly CursorOperation[] {
  const reader = new VarintReader(bytes, 1)
  const count = reader.number()
  const operations: CursorOperation[] = []
  while (operations.length < count) operations.push(readOperation(bytes, reader))
  if (!reader.isAtEnd)
    throw new BrokerError('CORRUPT_BATCH', `${count} cursor operations do not take ${bytes.length} bytes`)
  return operations
}

function readOperation(bytes: Uint8Array, reader: VarintReader): CursorOperation {
  const op = reader.byte()
  const consumerId = reader.number()
  const ids = { consumerId, requestId: readRequestId(bytes, reader.skip(REQUEST_ID_BYTES)) }
  switch (op) {
    case Op.GRANT:
      return { kind: 'grant', ...ids, from: reader.number(), to: reader.number(), holder: reader.number() }
    case Op.SET:
    case Op.SET_FORWARD:
      return { kind: 'set', ...ids, offset: reader.number(), forwardOnly: op === Op.SET_FORWARD }
    case Op.HOLD:
      return { kind: 'hold', ...ids, holder: reader.number() }
    case Op.RELEASE:
    case Op.RELEASE_EARLIER: {
      const [from, holder] = [reader.number(), reader.number()]
      return { kind: 'release', ...ids, from, holder, orEarlier: op === Op.RELEASE_EARLIER }
    }
    default:
      throw new BrokerError('CORRUPT_BATCH', `cursor operation of unknown kind ${op}`)
  }
}
