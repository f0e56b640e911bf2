import { randomBytes } from 'node:crypto'
import type { NodeId } from '../core/types.js'
import { InvalidConfigError } from './errors.js'
import { addressesById, type NodeAddress, nodeIdOf, parseNodeAddress } from './node-address.js'

/** Who a node is and whom it knows when it starts. */
export interface NodeNames {
  readonly id: NodeId
  /** `host:port`, or a name drawn at random for an observer. */
  readonly name: string
  /** `undefined` for an observer: nobody connects to it. */
  readonly address: NodeAddress | undefined
  /** The group's first members; none for a node that the others add, and for an observer. */
  readonly members: readonly NodeAddress[]
  /** All addresses that were given, its own excepted. */
  readonly contacts: readonly NodeAddress[]
}

export interface NamesGiven {
  /** `host:port`; `undefined` makes an observer: it receives the log, never votes, and may submit commands. */
  readonly self: string | undefined
  /** The other nodes, `host:port`; the own address among them is ignored. */
  readonly others: readonly string[]
  /** The node is not one of the group's first members: the others add it, now or later. */
  readonly join?: boolean
}

/**
 * @throws InvalidAddressError, AddressCollisionError
 * @throws InvalidConfigError when there is nobody to join
 */
export function namesOf({ self, others, join = false }: NamesGiven): NodeNames {
  const address = self === undefined ? undefined : parseNodeAddress(self)
  const contacts = others.map(parseNodeAddress).filter(({ text }) => text !== address?.text)
  const all = addressesById(address === undefined ? contacts : [address, ...contacts])
  if (contacts.length === 0 && (address === undefined || join))
    throw new InvalidConfigError(['others must name a node, for an observer and for a node that joins'])
  if (address === undefined) {
    const name = `observer-${randomBytes(16).toString('hex')}`
    return { id: nodeIdOf(name), name, address, members: [], contacts }
  }
  const members = join ? [] : [...all.values()]
  return { id: address.id, name: address.text, address, members, contacts }
}
