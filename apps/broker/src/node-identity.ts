import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import path from 'node:path'
import { type BrokerAddress, toBrokerAddress } from './broker-address.js'

/** Who this broker is; kept in its data directory and never changed once it belongs to a cluster. */
export interface NodeIdentity {
  /** 32 hex digits; tells this data directory from any other, also one under the same broker id. */
  readonly nodeUuid: string
  /** Empty until the broker belongs to a cluster. */
  readonly clusterId: string
  /** 0 until the broker belongs to a cluster. */
  readonly brokerId: number
  /** How often this broker was started: Raft tells the processes of one node apart by it. */
  readonly starts: number
  /** Where other brokers were when it was last known; where to ask after a restart. */
  readonly brokers: readonly BrokerAddress[]
}

/** The identity on disk, or what the configuration says, contradict each other or cannot be read. */
export class NodeIdentityError extends Error {
  override readonly name = 'NodeIdentityError'
}

const FILE_NAME = 'node.json'

/** Reads the identity; makes one, which belongs to no cluster yet, in a directory that has none. */
export async function openIdentity(dataDirectory: string): Promise<NodeIdentity> {
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
      starts: 0,
      brokers: [],
    }
    await saveIdentity(dataDirectory, identity)
    return identity
  }
  return parseIdentity(text, file)
}

/** Replaces the identity durably: the old or the new one is there after a crash, never a mixture. */
export async function saveIdentity(dataDirectory: string, identity: NodeIdentity): Promise<void> {
  const file = path.join(dataDirectory, FILE_NAME)
  const handle = await open(`${file}.new`, 'w')
  try {
    await handle.writeFile(`${JSON.stringify(identity, undefined, 2)}\n`)
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

function parseIdentity(text: string, file: string): NodeIdentity {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new NodeIdentityError(`${file} is not JSON: restore it, or give this broker an empty directory`, {
      cause,
    })
  }
  const { nodeUuid, clusterId, brokerId, starts = 0, brokers } = (value ?? {}) as Record<string, unknown>
  if (
    typeof nodeUuid !== 'string' ||
    !/^[0-9a-f]{32}$/.test(nodeUuid) ||
    typeof clusterId !== 'string' ||
    !isCount(brokerId) ||
    !isCount(starts) ||
    !Array.isArray(brokers)
  )
    throw new NodeIdentityError(`${file} is no broker identity: restore it, or use an empty directory`)
  return { nodeUuid, clusterId, brokerId, starts, brokers: brokers.map(toBrokerAddress) }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
