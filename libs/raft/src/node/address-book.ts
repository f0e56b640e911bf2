import { decode, encode } from '@msgpack/msgpack'
import type { NodeId } from '../core/types.js'
import { addressesById, type NodeAddress, parseNodeAddress } from './node-address.js'

/** Bytes of a configuration's context that hold no addresses. */
export class AddressBookError extends Error {
  override readonly name = 'AddressBookError'
}

const FORMAT = 1
const ADDRESSES_MAX = 1024

/**
 * The addresses of a group's members, as they travel in `Configuration.context`: a node that joins, or
 * that starts from a snapshot, learns from there where the others are. MessagePack: [1, ["host:port", …]].
 */
export function encodeAddressBook(addresses: readonly NodeAddress[]): Uint8Array {
  const texts = [...addressesById(addresses).values()].map((address) => address.text)
  return encode([FORMAT, texts.sort()])
}

/**
 * @returns the addresses by id; none for an empty context
 * @throws AddressBookError, InvalidAddressError or AddressCollisionError
 */
export function decodeAddressBook(context: Uint8Array): Map<NodeId, NodeAddress> {
  if (context.length === 0) return new Map()
  const texts = textsOf(context)
  return addressesById(texts.map(parseNodeAddress))
}

function textsOf(context: Uint8Array): string[] {
  let value: unknown
  try {
    value = decode(context, {
      maxArrayLength: ADDRESSES_MAX,
      maxStrLength: 512,
      maxMapLength: 0,
      maxBinLength: 0,
    })
  } catch (cause) {
    throw new AddressBookError('the context holds no address book', { cause })
  }
  if (!Array.isArray(value) || value.length !== 2 || value[0] !== FORMAT || !Array.isArray(value[1]))
    throw new AddressBookError('the context holds no address book of this version')
  const texts: unknown[] = value[1]
  if (!texts.every((text) => typeof text === 'string'))
    throw new AddressBookError('an address in the context is no text')
  return texts
}
