import type { Configuration, NodeId } from './types.js'

/** Members of all roles together. */
const MEMBERS_MAX = 255
const CONTEXT_BYTES_MAX = 64 * 1024

/** Bytes that are no configuration of this version. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
}

const VERSION = 1
const HEAD_BYTES = 9
const NO_CONTEXT = new Uint8Array(0)

/** A configuration with voters only, as most groups begin. */
export function simpleConfiguration(
  voters: readonly NodeId[],
  learners: readonly NodeId[] = [],
): Configuration {
  return {
    voters: [...voters],
    votersOutgoing: [],
    learners: [...learners],
    promotable: [],
    context: NO_CONTEXT,
  }
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0
}

/**
 *     version u8 = 1 | voters u8 | outgoing u8 | learners u8 | promotable u8 | contextBytes u32 |
 *     node id u32 × all of them | context                                     (little endian)
 */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { voters, votersOutgoing, learners, promotable, context } = configuration
  const lists = [voters, votersOutgoing, learners, promotable]
  const count = lists.reduce((sum, list) => sum + list.length, 0)
  const bytes = new Uint8Array(HEAD_BYTES + 4 * count + context.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, VERSION)
  lists.forEach((list, i) => view.setUint8(1 + i, list.length))
  view.setUint32(5, context.length, true)
  let at = HEAD_BYTES
  for (const list of lists)
    for (const id of list) {
      view.setUint32(at, id, true)
      at += 4
    }
  bytes.set(context, at)
  return bytes
}

/** @throws ConfigurationError */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < HEAD_BYTES || view.getUint8(0) !== VERSION)
    throw new ConfigurationError('a configuration of another version')
  const counts = [1, 2, 3, 4].map((at) => view.getUint8(at))
  const contextBytes = view.getUint32(5, true)
  const idBytes = 4 * counts.reduce((sum, count) => sum + count, 0)
  if (bytes.length !== HEAD_BYTES + idBytes + contextBytes)
    throw new ConfigurationError('a configuration of another length than it says')
  let at = HEAD_BYTES
  const lists = counts.map((count) =>
    Array.from({ length: count }, () => {
      const id = view.getUint32(at, true)
      at += 4
      return id as NodeId
    }),
  )
  const [voters, votersOutgoing, learners, promotable] = lists as [NodeId[], NodeId[], NodeId[], NodeId[]]
  const configuration = { voters, votersOutgoing, learners, promotable, context: bytes.slice(at) }
  const refusal = refusalOf(configuration)
  if (refusal !== undefined) throw new ConfigurationError(refusal)
  return configuration
}

/** Why no group can have this configuration, or `undefined`. */
export function refusalOf(configuration: Configuration): string | undefined {
  const { voters, votersOutgoing, learners, promotable, context } = configuration
  if (voters.length === 0) return 'a group has a voter'
  if (membersOf(configuration).length > MEMBERS_MAX) return `a group has at most ${MEMBERS_MAX} members`
  for (const list of [voters, votersOutgoing, learners, promotable]) {
    if (new Set(list).size !== list.length) return 'a member is listed once'
    if (list.some((id) => !Number.isInteger(id) || id < 1 || id > 0xffff_ffff))
      return 'a node id is a positive u32'
  }
  if (learners.some((id) => voters.includes(id))) return 'a learner is no voter'
  if (promotable.some((id) => !learners.includes(id))) return 'only learners are promoted'
  if (context.length > CONTEXT_BYTES_MAX) return `a context has at most ${CONTEXT_BYTES_MAX} bytes`
  return undefined
}

/** Everybody who gets the log, each once. */
export function membersOf(configuration: Configuration): readonly NodeId[] {
  const { voters, votersOutgoing, learners } = configuration
  if (votersOutgoing.length === 0 && learners.length === 0) return voters
  return [...new Set([...voters, ...votersOutgoing, ...learners])]
}

/** What a caller may ask for: the membership he wants in the end. */
export interface ConfigurationChange {
  readonly voters: readonly NodeId[]
  readonly learners?: readonly NodeId[]
  readonly promotable?: readonly NodeId[]
  /** That of the present configuration unless given. */
  readonly context?: Uint8Array
}

/**
 * The next configuration on the way to the one asked for. One voter more or less keeps every two
 * majorities overlapping, so it goes at once; everything else passes through a joint configuration
 * (Raft paper §6, thesis §4.1 and §4.3).
 */
export function nextConfiguration(present: Configuration, change: ConfigurationChange): Configuration {
  const { voters, learners = [], promotable = [], context = present.context } = change
  const added = voters.filter((id) => !present.voters.includes(id)).length
  const removed = present.voters.filter((id) => !voters.includes(id)).length
  const votersOutgoing = added + removed > 1 ? [...present.voters] : []
  return {
    voters: [...voters],
    votersOutgoing,
    learners: [...learners],
    promotable: [...promotable],
    context,
  }
}

/** The end of a joint configuration. */
export function withoutOutgoing(joint: Configuration): Configuration {
  return { ...joint, votersOutgoing: [] }
}

/** The learner as a voter: one step, since one voter is added. */
export function promoted(present: Configuration, learner: NodeId): Configuration {
  return {
    ...present,
    voters: [...present.voters, learner],
    learners: present.learners.filter((id) => id !== learner),
    promotable: present.promotable.filter((id) => id !== learner),
  }
}

export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  const x = encodeConfiguration(a)
  const y = encodeConfiguration(b)
  return x.length === y.length && x.every((byte, i) => byte === y[i])
}
