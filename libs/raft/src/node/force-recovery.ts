import { deferred, type Deferred } from '@sluice/foundation'
import { decodeConfiguration, encodeConfiguration, membersOf } from '../core/configuration.js'
import { type Configuration, EntryKind, type LogIndex, type NodeId, type Term } from '../core/types.js'
import type { GroupStorage, LogStore } from '../storage/log-store.js'
import { openWal } from '../wal/wal.js'
import { decodeAddressBook, encodeAddressBook } from './address-book.js'
import { SYNC_GROUP_ID, walDirectory } from './data-directory.js'
import { ForceRecoveryError } from './errors.js'
import { addressesById, type NodeAddress, parseNodeAddress } from './node-address.js'
import { type NodeIdentity, readIdentity } from './node-identity.js'

/** What is known before and after a recovery by force, for the operator who must answer for it. */
export interface RecoveryReport {
  readonly node: string
  /** Where this node's log ends. Of several survivors, only the one whose log ends last may be recovered. */
  readonly lastIndex: LogIndex
  readonly lastTerm: Term
  /** Entries up to here are known to be committed; those behind it may or may not be. */
  readonly commitIndex: LogIndex
  /** Members so far that are no survivors. Entries that only they have are lost. */
  readonly lost: readonly string[]
  readonly survivors: readonly string[]
  /** The term of the entry that made the survivors the only voters; `undefined` when nothing was changed. */
  readonly term: Term | undefined
}

export interface ForceRecoveryOptions {
  readonly dataDirectory: string
  /** The voters from now on; this node is one of them. */
  readonly survivors: readonly NodeAddress[]
  /** The caller accepts that acknowledged entries may be lost. False only reports. */
  readonly acceptLoss: boolean
}

/**
 * Makes the survivors of a group that lost its majority for good its only voters, by an entry at the end
 * of the log of this stopped node. Nobody agreed to that entry, which is what makes it dangerous: an
 * entry that was acknowledged by a majority without this node is gone, and if a lost node comes back with
 * its old data, it must not be let in. To be done on one survivor only, the one whose log ends last (by
 * term, then by index); the others follow it when they are started.
 *
 * @throws ForceRecoveryError when the survivors make no sense, or there is no group; nothing was changed
 * @throws IdentityError, WalLockedError (the node runs), WalCorruptError
 */
export async function forceRecovery(options: ForceRecoveryOptions): Promise<RecoveryReport> {
  const identity = await readIdentity(options.dataDirectory)
  const survivors = addressesById(options.survivors)
  if (survivors.size === 0) throw new ForceRecoveryError('there must be a survivor')
  const self = [...survivors.values()].find(({ text }) => text === identity.address)
  if (self === undefined)
    throw new ForceRecoveryError(`this node, ${identity.address}, is not among the survivors`)
  const failed = deferred<never>()
  failed.promise.catch(() => undefined)
  const wal = await openWal({
    directory: walDirectory(options.dataDirectory),
    nodeUuid: identity.uuid,
    onFatal: (error) => failed.reject(error),
  })
  try {
    const log = wal.group(SYNC_GROUP_ID)
    if (log === undefined)
      throw new ForceRecoveryError('the log holds no group: this node never took part in one')
    const report = reportOf(log, identity, survivors)
    if (!options.acceptLoss) return report
    const term = await rewrite(wal, log, { self: self.id, survivors, failed })
    return { ...report, term }
  } finally {
    await wal.close()
  }
}

/** What a recovery would do, in sentences. */
export function explainRecovery(report: RecoveryReport): string {
  const { node, lastIndex, lastTerm, commitIndex, lost, survivors } = report
  return [
    `The log of ${node} ends at entry ${lastIndex} of term ${lastTerm}; up to entry ${commitIndex} it is known to be committed.`,
    `Recovery makes ${survivors.join(', ')} the only voters, without asking anybody.`,
    lost.length === 0
      ? 'No member is known that would be left out.'
      : `Lost for good, with every entry that only they have: ${lost.join(', ')}.`,
    'Entries that were acknowledged may be among them. Do this on one survivor only: the one whose log ends',
    'last, by term and then by index. Never start a lost node with its old data again.',
  ].join('\n')
}

function reportOf(
  log: GroupStorage,
  identity: NodeIdentity,
  survivors: ReadonlyMap<NodeId, NodeAddress>,
): RecoveryReport {
  const members = addressesById(identity.members.map(parseNodeAddress))
  const present = presentConfiguration(log)
  if (present !== undefined)
    for (const [id, known] of decodeAddressBook(present.context)) members.set(id, known)
  const ids = present === undefined ? [...members.keys()] : membersOf(present)
  const lost = ids.filter((id) => !survivors.has(id))
  return {
    node: identity.address,
    lastIndex: log.lastIndex,
    lastTerm: log.term(log.lastIndex) ?? 0,
    commitIndex: log.hardState.commit,
    lost: lost.map((id) => members.get(id)?.text ?? `node ${id}`).sort(),
    survivors: [...survivors.values()].map(({ text }) => text).sort(),
    term: undefined,
  }
}

/** The newest in the log, committed or not; `undefined` when it is still the group's first one. */
function presentConfiguration(log: GroupStorage): Configuration | undefined {
  const bytes = log.configurationEntries().at(-1)?.data ?? log.baseConfiguration
  return bytes === undefined ? undefined : decodeConfiguration(bytes)
}

async function rewrite(
  store: LogStore,
  log: GroupStorage,
  recovery: {
    readonly self: NodeId
    readonly survivors: ReadonlyMap<NodeId, NodeAddress>
    readonly failed: Deferred<never>
  },
): Promise<Term> {
  const { self, survivors, failed } = recovery
  // As if this node had won an election in the next term, in which it therefore votes for nobody else.
  const term = log.hardState.term + 1
  const configuration: Configuration = {
    voters: [...survivors.keys()].sort((a, b) => a - b),
    votersOutgoing: [],
    learners: [],
    promotable: [],
    context: encodeAddressBook([...survivors.values()]),
  }
  const durable = deferred<undefined>()
  const entry = {
    index: log.lastIndex + 1,
    term,
    kind: EntryKind.CONFIGURATION,
    data: encodeConfiguration(configuration),
  }
  const hardState = { term, vote: self, commit: log.hardState.commit }
  store.append([{ group: log.id, hardState, entries: [entry] }], () => durable.resolve(undefined))
  await Promise.race([durable.promise, failed.promise])
  return term
}
