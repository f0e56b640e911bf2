import { decodeJson, encodeJson, RpcMethod } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { delay, type Random } from '@sluice/foundation'
import type { RpcIdentity } from '@sluice/rpc'
import type { Logger } from 'pino'
import type { BrokerAddress } from './broker-address.js'
import { BrokerPeers } from './broker-peers.js'

/** For those that do not answer at once, as when all are started at the same time. */
const WAIT_MS = 2000
const RETRY_MS = 50

export interface AdmissionCheckParts {
  readonly brokerId: number
  readonly identity: RpcIdentity
  readonly others: readonly BrokerAddress[]
  readonly random: Random
  readonly logger: Logger
  readonly signal: AbortSignal
}

/**
 * Asks the other brokers whether this one may take part, before it does: those that were given up by a forced
 * recovery could be a majority among themselves. Who does not answer is waited for, but not for long: a cluster
 * must be able to start without it.
 *
 * @throws BrokerError BROKER_FENCED
 */
export async function checkAdmission(parts: AdmissionCheckParts): Promise<void> {
  await withOthers(parts, async (ask, signal) => {
    const end = AbortSignal.any([signal, AbortSignal.timeout(WAIT_MS)])
    await Promise.all(parts.others.map(({ id }) => ask(id, end).catch(() => undefined)))
  })
}

/** What another broker says of itself; tried until there is an answer. @throws the reason of `end` */
export type AskBroker = (id: number, end: AbortSignal) => Promise<unknown>

/**
 * Runs `run` with connections to other brokers that ends with it; its signal is aborted when one of them refuses
 * this broker for good.
 * @throws BrokerError BROKER_FENCED
 */
export async function withOthers<T>(
  parts: AdmissionCheckParts,
  run: (ask: AskBroker, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { brokerId, identity, random, others } = parts
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
  const ended = new AbortController()
  const signal = AbortSignal.any([refused.signal, parts.signal, ended.signal])
  const ask: AskBroker = async (id, end) => {
    for (;;) {
      end.throwIfAborted()
      try {
        const answer = await peers.link(id)?.request(RpcMethod.NODE_INFO, encodeJson({}), {
          timeoutMs: WAIT_MS,
          signal: end,
        })
        if (answer !== undefined) return decodeJson(answer)
      } catch {
        end.throwIfAborted()
      }
      await delay(RETRY_MS, end)
    }
  }
  try {
    peers.update(others)
    const result = await run(ask, signal)
    signal.throwIfAborted()
    return result
  } finally {
    ended.abort(new Error('the question is settled'))
    await peers.close()
  }
}

/** What a broker ends with that was given up. */
export function fencedError(message: string): BrokerError {
  return new BrokerError('BROKER_FENCED', message, { component: 'broker', outcome: 'no' })
}
