/** Why a connection is not taken. The order is the number on the wire, from 1: append only. */
const CODES = [
  /** The hello cannot be read. */
  'MALFORMED',
  /** No version of the protocol that both speak. */
  'VERSION',
  /** A member of another cluster. */
  'CLUSTER',
  /** One side has a secret, the other has none. */
  'SECRET_MISSING',
  /** The secrets differ. */
  'SECRET_WRONG',
  /** The certificate does not cover the peer's address. */
  'CERTIFICATE',
  /** The node is no peer of this one (yet, or any more). */
  'UNKNOWN_NODE',
  /** Another node than the one that was dialled answers. */
  'WRONG_NODE',
  /** The node dialled itself, or another has its id. */
  'SELF',
  /** Of two nodes the one with the higher id dials; observers and administrators are not dialled at all. */
  'DIRECTION',
  /** The id is known with another uuid: the node lost its disk and must not come back as itself. */
  'NODE_REPLACED',
  /** The same node is connected, by a process that was started later or that has another uuid. */
  'DUPLICATE',
  /** The caller's `admit` said no. */
  'NOT_ADMITTED',
  'TOO_MANY_CONNECTIONS',
  /** The hello, or what follows it, did not come in time. */
  'HANDSHAKE_TIMEOUT',
  /** This side is being closed. */
  'CLOSING',
  /** No TLS connection, or none with a certificate that is trusted. */
  'TLS',
] as const

export type RefusalCode = (typeof CODES)[number]

/** A reason that both sides can read. */
export interface Refusal {
  readonly code: RefusalCode
  /** For people; may be cut on its way. */
  readonly message: string
}

const MESSAGE_BYTES_MAX = 512

/** code u8 | message, UTF-8 */
export function encodeRefusal(refusal: Refusal): Uint8Array {
  const bytes = new Uint8Array(1 + MESSAGE_BYTES_MAX)
  bytes[0] = CODES.indexOf(refusal.code) + 1
  const { written } = new TextEncoder().encodeInto(refusal.message, bytes.subarray(1))
  return bytes.subarray(0, 1 + written)
}

/** Never throws: a reason that a later version invented is still a refusal. */
export function decodeRefusal(payload: Uint8Array): Refusal {
  const code = CODES[(payload[0] ?? 0) - 1] ?? 'NOT_ADMITTED'
  const text = new TextDecoder().decode(payload.subarray(1, 1 + MESSAGE_BYTES_MAX))
  // A message ends up in logs and terminals: nothing there may be steered by a stranger.
  return { code, message: text.replace(/[^\P{C}]/gu, '?') }
}
