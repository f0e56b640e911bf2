import { decodeJson, encodeJson, RpcMethod } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { delay, type Random } from '@sluice/foundation'
import type { RpcIdentity, RpcLink } from '@sluice/rpc'
import type { Logger } from 'pino'
import type { BrokerAddress } from './broker-address.js'
import { BrokerPeers } from './broker-peers.js'

/** For those that do not answer at once, as when all are started at the same time. */
const WAIT_MS = 2000
const RETRY_MS = 50

export interface AdmissionCheckParts {
  readonly brokerId: number
  readonly nodeUuid: string
  /** The data directory was empty when this broker was started. */
  readonly isFresh: boolean
  readonly identity: RpcIdentity
  readonly others: readonly BrokerAddress[]
  readonly random: Random
  readonly logger: Logger
  readonly signal: AbortSignal
}

/**
 * Asks the other brokers whether this one may take part, before it does. Those that were given up by a forced
 * recovery could be a majority among themselves, and a directory that is empty has forgotten its votes. Who
 * does not answer is waited for, but not for long: a cluster must be able to start without it.
 *
 * @throws BrokerError BROKER_FENCED, BROKER_REFUSED
 */
export async function checkAdmission(parts: AdmissionCheckParts): Promise<void> {
  const { brokerId, identity, random, others, signal } = parts
  const refused = new AbortController()
  const peers = new BrokerPeers({
    self: brokerId,
    identity,
    random,
    logger: parts.logger.child({ part: 'admission' }, { level: 'silent' }),
    onRefused: (refusal) => {
      if (refusal.code === 'BROKER_FENCED') refused.abort(fencedError(refusal.message))
    },
  })
  try {
    peers.update(others)
    const links = others.flatMap(({ id }) => peers.link(id) ?? [])
    const end = AbortSignal.any([refused.signal, signal, AbortSignal.timeout(WAIT_MS)])
    await Promise.all(links.map((link) => ask(link, parts, end)))
    refused.signal.throwIfAborted()
    signal.throwIfAborted()
  } finally {
    await peers.close()
  }
}

/** What a broker ends with that was given up. */
export function fencedError(message: string): BrokerError {
  return new BrokerError('BROKER_FENCED', message, { component: 'broker', outcome: 'no' })
}

/** Until it has answered, or there is no more time. */
async function ask(link: RpcLink, parts: AdmissionCheckParts, end: AbortSignal): Promise<void> {
  while (!end.aborted) {
    try {
      await link.request(RpcMethod.NODE_INFO, encodeJson({}), { timeoutMs: WAIT_MS, signal: end })
      break
    } catch {
      await delay(RETRY_MS, end).catch(() => undefined)
    }
  }
  if (parts.isFresh && !end.aborted) await checkDirectory(link, parts, end)
}

async function checkDirectory(
  link: RpcLink,
  { brokerId, nodeUuid }: AdmissionCheckParts,
  end: AbortSignal,
): Promise<void> {
  let copy: unknown
  try {
    copy = decodeJson(
      await link.request(RpcMethod.META_COPY, encodeJson({}), { timeoutMs: WAIT_MS, signal: end }),
    )
  } catch {
    // It is no member yet, or is not there any more: it knows nothing.
    return
  }
  const { state } = copy as { readonly state: { readonly brokers: readonly { id: number; uuid: string }[] } }
  const known = state.brokers.find(({ id }) => id === brokerId)
  if (known === undefined || known.uuid === '' || known.uuid === nodeUuid) return
  throw new BrokerError(
    'BROKER_REFUSED',
    `broker ${brokerId} of this cluster has another data directory: give it that one back, or have broker ${brokerId} removed and add this one as a new broker, without BROKER_ID`,
    { component: 'broker', outcome: 'no' },
  )
}
