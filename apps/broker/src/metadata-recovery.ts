import { decodeJson, encodeJson, RpcMethod } from '@sluice/contracts'
import { delay, messageOf } from '@sluice/foundation'
import type { StoredMetadata } from '@sluice/persistence'
import type { RpcLink } from '@sluice/rpc'
import type { SnapshotMeta } from '@sluice/raft'
import type { Logger } from 'pino'
import type { MetadataDelta } from './metadata-materialiser.js'
import { allOf } from './metadata-snapshot.js'
import type { MetadataCopy } from './metadata-replica.js'

/** What a voter of the metadata starts from. */
export interface MetadataStart {
  readonly stored: StoredMetadata | undefined
  /** Set when it came from another broker: the log follows it. */
  readonly snapshot?: SnapshotMeta
}

export interface MetadataRecoveryParts {
  readonly stored: StoredMetadata | undefined
  /** The log holds what is behind `compactedIndex`, up to `lastIndex`. */
  readonly log: { readonly compactedIndex: number; readonly lastIndex: number } | undefined
  /** The log may lack what was durable: that there is none does not mean that there never was one. */
  readonly isLogLost: boolean
  readonly links: readonly RpcLink[]
  readonly materialise: (delta: MetadataDelta) => Promise<unknown>
  readonly logger: Logger
  readonly signal: AbortSignal
}

const CALL_TIMEOUT_MS = 10_000
const RETRY_MS = 500

/**
 * What the metadata starts from: the database, unless the log does not follow what it has, because it was
 * emptied or restored from a backup. Then another broker's metadata takes its place, however long it takes
 * to find one: to run on would leave a hole.
 */
export async function startOfMetadata(parts: MetadataRecoveryParts): Promise<MetadataStart> {
  const { stored, log, isLogLost, links, logger, signal } = parts
  const storedIndex = stored?.appliedIndex ?? 0
  if (
    (log === undefined && !isLogLost) ||
    (log !== undefined && storedIndex >= log.compactedIndex && storedIndex <= log.lastIndex)
  )
    return { stored }
  logger.error(
    { storedIndex, compactedIndex: log?.compactedIndex, lastIndex: log?.lastIndex },
    'the metadata in the database and the log do not fit: it is copied from another broker',
  )
  for (let attempt = 0; ; attempt++) {
    try {
      const link = links[attempt % links.length]
      if (link === undefined) throw new Error('the cluster has no other broker with the metadata')
      return await copyFrom(link, log?.compactedIndex ?? 0, parts)
    } catch (error) {
      signal.throwIfAborted()
      logger.warn({ reason: messageOf(error) }, 'the metadata could not be copied; another broker is asked')
      await delay(RETRY_MS, signal)
    }
  }
}

async function copyFrom(
  link: RpcLink,
  needed: number,
  { materialise, logger, signal }: MetadataRecoveryParts,
): Promise<MetadataStart> {
  const answer = await link.request(RpcMethod.META_COPY, encodeJson({}), {
    timeoutMs: CALL_TIMEOUT_MS,
    signal,
  })
  const { index, term, configuration, state } = decodeJson(answer) as MetadataCopy
  if (index < needed) throw new Error(`it has the metadata up to ${index}, the log begins behind ${needed}`)
  await materialise({
    appliedIndex: index,
    appliedTerm: term,
    snapshot: state,
    changes: allOf(state),
    whole: true,
  })
  logger.info({ index }, 'the metadata is whole again in the database')
  return {
    stored: { appliedIndex: index, appliedTerm: term, snapshot: state },
    snapshot: { index, term, configuration: Uint8Array.from(Buffer.from(configuration, 'base64')) },
  }
}
