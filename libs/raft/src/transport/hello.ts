import type { NodeId } from '../core/types.js'
import { RefusedError, malformed } from './transport-error.js'

/** `node`: a member or one to be; `observer`: reads along and dials out only; `admin`: only asks. */
export type PeerRole = 'node' | 'observer' | 'admin'

/** Who speaks on a connection. */
export interface PeerHello {
  /** 0 for administrators alone. */
  readonly id: NodeId
  readonly role: PeerRole
  /** 16 bytes; all zero, "whichever it is", from administrators alone. */
  readonly clusterId: Uint8Array
  /** 16 bytes, of the data directory: another one under the same id is another disk. */
  readonly uuid: Uint8Array
  /** Larger at each start of the same node. */
  readonly bootEpoch: number
  /** `host:port` where the others reach it, or a name when nobody does; at most 512 bytes. */
  readonly address: string
}

/** What both sides send first. */
export interface Hello extends PeerHello {
  /** The node that is meant; 0 is any. */
  readonly target: NodeId | 0
  /** Whether it proves that it knows the cluster's secret, and wants the same proof. */
  readonly hasSecret: boolean
  /** 32 random bytes. */
  readonly nonce: Uint8Array
}

const PROTOCOL_VERSION_MIN = 1
const PROTOCOL_VERSION_MAX = 1
export const CLUSTER_ID_BYTES = 16
export const UUID_BYTES = 16
export const NONCE_BYTES = 32
export const ADDRESS_BYTES_MAX = 512

/*
 * Little endian. The first three fields are the same in every version, so that an old node can tell a
 * new one, and the other way round, that they do not understand each other:
 *
 *   magic u32 | versionMin u16 | versionMax u16 |
 *   role u8 | hasSecret u8 | id u32 | target u32 | clusterId 16 | uuid 16 | bootEpoch u64 | nonce 32 |
 *   addressBytes u16 | address
 */
const MAGIC = 0x5452_4c53
const PREFIX_BYTES = 8
const FIXED_BYTES = PREFIX_BYTES + 2 + 8 + CLUSTER_ID_BYTES + UUID_BYTES + 8 + NONCE_BYTES + 2
const ROLES: readonly PeerRole[] = ['node', 'observer', 'admin']

/** No frame of a handshake is larger. */
export const HANDSHAKE_FRAME_BYTES_MAX = 1024

export function encodeHello(hello: Hello): Uint8Array {
  const address = new TextEncoder().encode(hello.address)
  const bytes = Buffer.alloc(FIXED_BYTES + address.length)
  bytes.writeUInt32LE(MAGIC, 0)
  bytes.writeUInt16LE(PROTOCOL_VERSION_MIN, 4)
  bytes.writeUInt16LE(PROTOCOL_VERSION_MAX, 6)
  bytes[8] = ROLES.indexOf(hello.role) + 1
  bytes[9] = hello.hasSecret ? 1 : 0
  bytes.writeUInt32LE(hello.id, 10)
  bytes.writeUInt32LE(hello.target, 14)
  bytes.set(hello.clusterId, 18)
  bytes.set(hello.uuid, 34)
  bytes.writeBigUInt64LE(BigInt(hello.bootEpoch), 50)
  bytes.set(hello.nonce, 58)
  bytes.writeUInt16LE(address.length, 90)
  bytes.set(address, FIXED_BYTES)
  return bytes
}

/**
 * The only gate from bytes to a hello. What it holds is a copy.
 * @throws TransportError MALFORMED, or RefusedError VERSION
 */
export function decodeHello(payload: Uint8Array): Hello {
  const bytes = Buffer.from(payload)
  if (bytes.length < PREFIX_BYTES || bytes.readUInt32LE(0) !== MAGIC)
    throw malformed('what was sent is no hello of this protocol')
  checkVersions(bytes.readUInt16LE(4), bytes.readUInt16LE(6))
  if (bytes.length < FIXED_BYTES) throw malformed(`a hello of ${bytes.length} bytes is too short`)
  const role = ROLES[bytes[8]! - 1]
  const hasSecret = bytes[9]!
  const id = bytes.readUInt32LE(10) as NodeId
  const clusterId = bytes.subarray(18, 34)
  const bootEpoch = Number(bytes.readBigUInt64LE(50))
  const addressBytes = bytes.readUInt16LE(90)
  if (role === undefined) throw malformed('a hello of an unknown role')
  if (hasSecret > 1) throw malformed('a hello with unknown flags')
  if ((id === 0) !== (role === 'admin')) throw malformed(`a hello of role ${role} with id ${id}`)
  if (isZero(clusterId) && role !== 'admin') throw malformed('a hello without a cluster')
  if (!Number.isSafeInteger(bootEpoch)) throw malformed('a hello with an impossible boot epoch')
  if (addressBytes > ADDRESS_BYTES_MAX || bytes.length !== FIXED_BYTES + addressBytes)
    throw malformed('a hello with an address of another length than announced')
  return {
    id,
    role,
    clusterId,
    uuid: bytes.subarray(34, 50),
    bootEpoch,
    address: decodeText(bytes.subarray(FIXED_BYTES)),
    target: bytes.readUInt32LE(14) as NodeId,
    hasSecret: hasSecret === 1,
    nonce: bytes.subarray(58, 90),
  }
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function checkVersions(min: number, max: number): void {
  if (min > max) throw malformed('a hello with an empty range of versions')
  if (min > PROTOCOL_VERSION_MAX || max < PROTOCOL_VERSION_MIN)
    throw new RefusedError(
      {
        code: 'VERSION',
        message: `versions ${min} to ${max} are not spoken here, but ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}`,
      },
      'self',
    )
}

function decodeText(bytes: Uint8Array): string {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw malformed('a hello with an address that is no text', cause)
  }
  if (/\p{C}/u.test(text)) throw malformed('a hello with an address of unprintable characters')
  return text
}
