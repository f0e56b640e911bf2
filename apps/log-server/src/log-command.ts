import { invariant } from '@sluice/foundation'

/** Which entry of which run of which node: 14 bytes as hexadecimal text. */
export type EntryId = string

/**
 * What is replicated, little endian:
 *
 *     kind u8 | node u16 | boot 8 B | number u32 | body        STORE: the log gets the body, unless withdrawn
 *                                                              WITHDRAW: it will not, unless it has it
 */
export interface LogCommand {
  readonly kind: CommandKind
  readonly id: EntryId
  readonly body: Uint8Array
}

export const CommandKind = { STORE: 1, WITHDRAW: 2 } as const
export type CommandKind = (typeof CommandKind)[keyof typeof CommandKind]

const ID_BYTES = 14
const HEAD_BYTES = 1 + ID_BYTES
const NO_BODY = new Uint8Array(0)

/** @param boot 8 random bytes, new with every start of a process */
export function entryId(node: number, boot: Uint8Array, number: number): EntryId {
  invariant(boot.length === 8, 'a boot id has 8 bytes')
  const bytes = Buffer.alloc(ID_BYTES)
  bytes.writeUInt16LE(node, 0)
  bytes.set(boot, 2)
  bytes.writeUInt32LE(number, 10)
  return bytes.toString('hex')
}

export function encodeCommand(kind: CommandKind, id: EntryId, body: Uint8Array = NO_BODY): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + body.length)
  bytes[0] = kind
  bytes.set(Buffer.from(id, 'hex'), 1)
  bytes.set(body, HEAD_BYTES)
  return bytes
}

/** `undefined` for bytes that are no command. The body is a view. */
export function decodeCommand(bytes: Uint8Array): LogCommand | undefined {
  const kind = bytes[0]
  if (bytes.length < HEAD_BYTES || (kind !== CommandKind.STORE && kind !== CommandKind.WITHDRAW))
    return undefined
  if (kind === CommandKind.WITHDRAW && bytes.length > HEAD_BYTES) return undefined
  const id = Buffer.from(bytes.buffer, bytes.byteOffset + 1, ID_BYTES).toString('hex')
  return { kind, id, body: bytes.subarray(HEAD_BYTES) }
}
