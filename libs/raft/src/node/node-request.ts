import type { RaftGroupId } from '../core/types.js'

/** What a node asks another one about a group. */
export const NodeRequestKind = {
  /** Commands for the leader's log. */
  COMMANDS: 1,
  /** An operator's request, passed on to the leader. */
  ADMIN: 2,
  /** A node without an address asks to receive the log. */
  OBSERVE: 3,
} as const
export type NodeRequestKind = (typeof NodeRequestKind)[keyof typeof NodeRequestKind]

export interface NodeRequest {
  readonly kind: NodeRequestKind
  readonly group: RaftGroupId
  readonly body: Uint8Array
}

/** Bytes that are no request of this version. */
export class NodeRequestError extends Error {
  override readonly name = 'NodeRequestError'
}

/*
 * request : version u8 = 1 | kind u8 | group u32, little endian | body
 */
const VERSION = 1
const HEAD_BYTES = 6
const KINDS: ReadonlySet<number> = new Set(Object.values(NodeRequestKind))

export function encodeNodeRequest({ kind, group, body }: NodeRequest): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + body.length)
  bytes[0] = VERSION
  bytes[1] = kind
  new DataView(bytes.buffer).setUint32(2, group, true)
  bytes.set(body, HEAD_BYTES)
  return bytes
}

/** The body is a view of `bytes`. @throws NodeRequestError */
export function decodeNodeRequest(bytes: Uint8Array): NodeRequest {
  if (bytes.length < HEAD_BYTES || bytes[0] !== VERSION)
    throw new NodeRequestError('a request of another version')
  const kind = bytes[1]!
  if (!KINDS.has(kind)) throw new NodeRequestError(`a request of unknown kind ${kind}`)
  const group = new DataView(bytes.buffer, bytes.byteOffset).getUint32(2, true) as RaftGroupId
  return { kind: kind as NodeRequestKind, group, body: bytes.subarray(HEAD_BYTES) }
}
