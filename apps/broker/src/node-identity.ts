import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import path from 'node:path'
import { BrokerError } from '@sluice/domain'
import { BUILD_VERSION } from '@sluice/foundation'
import { type FeatureRange, FEATURES, supports } from '@sluice/metadata'
import { type BrokerAddress, toBrokerAddress } from './broker-address.js'

/** Who this broker is; kept in its data directory and never changed once it belongs to a cluster. */
export interface NodeIdentity {
  /** 32 hex digits; tells this data directory from any other, also one under the same broker id. */
  readonly nodeUuid: string
  /** Empty until the broker belongs to a cluster. */
  readonly clusterId: string
  /** 0 until the broker belongs to a cluster. */
  readonly brokerId: number
  /** False for a founder until all founders have agreed who they are: until then it has no part in anything. */
  readonly isPlaced: boolean
  /** Who founded the cluster, where this broker was there and its version noted it; never changed. */
  readonly founders: readonly Founder[]
  /** How often this broker was started: Raft tells the processes of one node apart by it. */
  readonly starts: number
  /** Where other brokers were when it was last known; where to ask after a restart. */
  readonly brokers: readonly BrokerAddress[]
  /** Of the cluster, before anything is written here that takes it; 0 until that is known. */
  readonly featureLevel: number
}

/** A broker with the data directory that it founded the cluster with. */
export interface Founder {
  readonly id: number
  readonly uuid: string
}

/** The identity on disk, or what the configuration says, contradict each other or cannot be read. */
export class NodeIdentityError extends Error {
  override readonly name = 'NodeIdentityError'
}

const FILE_NAME = 'node.json'
/** Of the file. What may be left out needs no other one. */
const FORMAT = 1

/**
 * Reads the identity; makes one, which belongs to no cluster yet, in a directory that has none.
 * @param features of this build: a directory whose cluster has gone past them is refused as it is
 * @throws BrokerError UNSUPPORTED_VERSION, NodeIdentityError
 */
export async function openIdentity(
  dataDirectory: string,
  features: FeatureRange = FEATURES,
): Promise<NodeIdentity> {
  await mkdir(dataDirectory, { recursive: true })
  const file = path.join(dataDirectory, FILE_NAME)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    const identity = {
      nodeUuid: randomBytes(16).toString('hex'),
      clusterId: '',
      brokerId: 0,
      isPlaced: false,
      founders: [],
      starts: 0,
      brokers: [],
      featureLevel: 0,
    }
    await saveIdentity(dataDirectory, identity)
    return identity
  }
  return parseIdentity(text, file, features)
}

/** Replaces the identity durably: the old or the new one is there after a crash, never a mixture. */
export async function saveIdentity(dataDirectory: string, identity: NodeIdentity): Promise<void> {
  const file = path.join(dataDirectory, FILE_NAME)
  const handle = await open(`${file}.new`, 'w')
  try {
    await handle.writeFile(
      `${JSON.stringify({ format: FORMAT, version: BUILD_VERSION, ...identity }, undefined, 2)}\n`,
    )
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(`${file}.new`, file)
  const directory = await open(dataDirectory, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function parseIdentity(text: string, file: string, features: FeatureRange): NodeIdentity {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new NodeIdentityError(`${file} is not JSON: restore it, or give this broker an empty directory`, {
      cause,
    })
  }
  const fields = (value ?? {}) as Record<string, unknown>
  checkVersion(fields, file, features)
  const { nodeUuid, clusterId, brokerId, starts = 0, brokers, featureLevel = 0 } = fields
  // A version that noted nothing of founders took its place at once.
  const { isPlaced = clusterId !== '', founders = [] } = fields
  if (
    !isUuid(nodeUuid) ||
    typeof isPlaced !== 'boolean' ||
    !isFounders(founders) ||
    typeof clusterId !== 'string' ||
    !isCount(brokerId) ||
    !isCount(starts) ||
    !isCount(featureLevel) ||
    !Array.isArray(brokers)
  )
    throw new NodeIdentityError(`${file} is no broker identity: restore it, or use an empty directory`)
  return {
    nodeUuid,
    clusterId,
    brokerId,
    isPlaced,
    founders,
    starts,
    brokers: brokers.map(toBrokerAddress),
    featureLevel,
  }
}

/** Before the log or the database is opened: what is written there may mean nothing to this build. */
function checkVersion(
  { format = FORMAT, version, featureLevel = 0 }: Readonly<Record<string, unknown>>,
  file: string,
  features: FeatureRange,
): void {
  const writer = typeof version === 'string' ? `version ${version.slice(0, 50)}` : 'an earlier version'
  if (format !== FORMAT)
    throw unsupported(
      `${file} is of format ${String(format).slice(0, 20)}, written by ${writer}; version ${BUILD_VERSION} reads format ${FORMAT}`,
    )
  if (!isCount(featureLevel) || featureLevel === 0 || supports(features, featureLevel)) return
  const remedy =
    featureLevel > features.max
      ? `start ${typeof version === 'string' ? `${writer} or a later one` : 'a later version'}`
      : 'raise the feature level with the version before first'
  throw unsupported(
    `the cluster of ${path.dirname(file)} is at feature level ${featureLevel}, as ${writer} noted; version ${BUILD_VERSION} runs in levels ${features.min} to ${features.max}: ${remedy}`,
  )
}

function unsupported(text: string): BrokerError {
  return new BrokerError('UNSUPPORTED_VERSION', `${text}; nothing was changed`, {
    component: 'broker',
    outcome: 'no',
  })
}

function isUuid(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value)
}

/** Of a file, or as another broker says it. */
export function isFounders(value: unknown): value is readonly Founder[] {
  return (
    Array.isArray(value) &&
    value.every((one: Partial<Record<string, unknown>> | null) => isCount(one?.['id']) && isUuid(one['uuid']))
  )
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
