import { crc32 } from 'node:zlib'
import type { NodeId } from '../core/types.js'
import { AddressCollisionError, InvalidAddressError } from './errors.js'

/** Where a node listens. Two are the same node when `text` is the same. */
export interface NodeAddress {
  /** `host:port` in one spelling: lower case, an IPv6 host in brackets. */
  readonly text: string
  /** Without brackets. */
  readonly host: string
  readonly port: number
  /** CRC-32 of `text`: the same in every process without asking anybody. */
  readonly id: NodeId
}

const HOST_LENGTH_MAX = 253
const NAME = /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/
const IPV6 = /^[0-9a-f:]+(%[a-z0-9_.-]+)?$/

/**
 * Reads `host:port`. The port follows the last colon, so that PySyncObj's IPv6 addresses without
 * brackets (`::1:7001`) are read as well.
 * @throws InvalidAddressError
 */
export function parseNodeAddress(text: string): NodeAddress {
  const colon = text.lastIndexOf(':')
  if (colon < 0) throw new InvalidAddressError(text, 'it has no port')
  const digits = text.slice(colon + 1)
  const port = /^[1-9][0-9]{0,4}$/.test(digits) ? Number(digits) : 0
  if (port < 1 || port > 65_535) throw new InvalidAddressError(text, 'a port is a number from 1 to 65535')
  const host = withoutBrackets(text.slice(0, colon).toLowerCase())
  const isIpv6 = host.includes(':')
  if (host === '' || host.length > HOST_LENGTH_MAX || !(isIpv6 ? IPV6 : NAME).test(host))
    throw new InvalidAddressError(text, 'its host is neither a name nor an IP address')
  const spelt = `${isIpv6 ? `[${host}]` : host}:${port}`
  return { text: spelt, host, port, id: nodeIdOf(spelt) }
}

/** The id of a name that is no address, for nodes that nobody connects to. */
export function nodeIdOf(name: string): NodeId {
  const id = crc32(name) >>> 0
  return (id === 0 ? 1 : id) as NodeId
}

/**
 * The addresses by id, each once.
 * @throws AddressCollisionError when two of them have the same id
 */
export function addressesById(addresses: readonly NodeAddress[]): Map<NodeId, NodeAddress> {
  const byId = new Map<NodeId, NodeAddress>()
  for (const address of addresses) {
    const known = byId.get(address.id)
    if (known !== undefined && known.text !== address.text)
      throw new AddressCollisionError(known.text, address.text)
    byId.set(address.id, address)
  }
  return byId
}

function withoutBrackets(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
}
