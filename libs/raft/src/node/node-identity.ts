import { createHash, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectoryDurably, readIfPresent, writeDurably } from './durable-file.js'
import { IdentityError } from './errors.js'

/**
 * Who a data directory belongs to. The uuid is drawn when the directory is made: a node whose disk was
 * lost comes back with another one, and the peers, which remember the first, do not take it for the node
 * that voted and acknowledged under this id.
 */
export interface NodeIdentity {
  /** 16 bytes. */
  readonly uuid: Uint8Array
  /** 16 bytes, the same for all nodes of a cluster. */
  readonly clusterId: Uint8Array
  /** `host:port`, or a name for a node that nobody connects to. */
  readonly address: string
  /**
   * Addresses of the group's first members, as they were given at the first start; none for a node that
   * was added later. They count for ever: changed arguments of a later start do not change the group.
   */
  readonly members: readonly string[]
  /** Counts the starts of the node, from 1; not the clock, which may go back. */
  readonly bootEpoch: number
  /** True when the directory was empty until now, or there is none. */
  readonly isNew: boolean
}

/** What a node says of itself when it starts. */
export type NodeOwner = Pick<NodeIdentity, 'clusterId' | 'address' | 'members'>

const FILE = 'identity.json'
const FORMAT = 1
const UUID_HEX = /^[0-9a-f]{32}$/

/** The id that all nodes of the cluster of this name have. */
export function clusterIdOf(name: string): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(`sluice raft cluster ${name}`).digest().subarray(0, 16))
}

/** An identity that ends with the process. */
export function volatileIdentity(owner: NodeOwner): NodeIdentity {
  return { ...owner, uuid: Uint8Array.from(randomBytes(16)), bootEpoch: 1, isNew: true }
}

/**
 * Reads the identity of a data directory, or makes it when the directory is empty or does not exist. The
 * start is counted, durably, before anybody can be told the number.
 *
 * @throws IdentityError when the directory is of another node or cluster, holds data without an identity,
 *   or its identity cannot be read
 */
export async function openIdentity(directory: string, owner: NodeOwner): Promise<NodeIdentity> {
  await makeDirectoryDurably(directory)
  const path = join(directory, FILE)
  const text = await readIfPresent(path)
  if (text !== undefined) {
    const found = checked(path, parseIdentity(path, text), owner)
    const identity = { ...found, bootEpoch: found.bootEpoch + 1 }
    await writeIdentity(path, identity)
    return identity
  }
  // A draft is what a crash left of the first start; nothing was written before it was complete.
  const others = (await readdir(directory)).filter((name) => !name.startsWith('.'))
  if (others.length > 0)
    throw new IdentityError(`${directory} holds data (${others.sort().join(', ')}) but no ${FILE}`)
  const identity = volatileIdentity(owner)
  await writeIdentity(path, identity)
  return identity
}

/**
 * The identity of a directory whose node is not running.
 * @throws IdentityError when there is none
 */
export async function readIdentity(directory: string): Promise<NodeIdentity> {
  const path = join(directory, FILE)
  const text = await readIfPresent(path)
  if (text === undefined) throw new IdentityError(`${directory} is no data directory: it has no ${FILE}`)
  return parseIdentity(path, text)
}

async function writeIdentity(path: string, identity: NodeIdentity): Promise<void> {
  const { uuid, clusterId, address, members, bootEpoch } = identity
  const content = { format: FORMAT, uuid: hex(uuid), clusterId: hex(clusterId), address, members, bootEpoch }
  await writeDurably(path, `${JSON.stringify(content)}\n`)
}

function checked(path: string, found: NodeIdentity, owner: NodeOwner): NodeIdentity {
  if (found.address !== owner.address)
    throw new IdentityError(`${path} belongs to node ${found.address}, this node is ${owner.address}`)
  if (hex(found.clusterId) !== hex(owner.clusterId))
    throw new IdentityError(`${path} belongs to a node of another cluster`)
  return found
}

function parseIdentity(path: string, text: string): NodeIdentity {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new IdentityError(`${path} is damaged`, { cause })
  }
  const { format, uuid, clusterId, address, members, bootEpoch } = (value ?? {}) as Record<string, unknown>
  if (format !== FORMAT) throw new IdentityError(`${path} has a format that this version does not read`)
  if (
    !isUuidHex(uuid) ||
    !isUuidHex(clusterId) ||
    typeof address !== 'string' ||
    !isTexts(members) ||
    !isCount(bootEpoch)
  )
    throw new IdentityError(`${path} is damaged`)
  return { uuid: bytes(uuid), clusterId: bytes(clusterId), address, members, bootEpoch, isNew: false }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === 'string')
}

function isUuidHex(value: unknown): value is string {
  return typeof value === 'string' && UUID_HEX.test(value)
}

function hex(uuid: Uint8Array): string {
  return Buffer.from(uuid).toString('hex')
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}
