import {
  type BrokerStatus,
  decodeJson,
  parseBrokerStatus,
  partitionSizes,
  RpcMethod,
} from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { delay } from '@sluice/foundation'
import type { BrokerPeers } from './broker-peers.js'

/** Who takes longer is left out: plans are not held up for an estimate. */
const TIMEOUT_MS = 500

/** About how many bytes each partition has, by group, as far as its leader answers. Never rejects. */
export async function gatherSizes(parts: {
  readonly own: () => Promise<BrokerStatus>
  readonly others: readonly number[]
  readonly peers: Pick<BrokerPeers, 'link'>
}): Promise<ReadonlyMap<number, number>> {
  const ask = async (id: number): Promise<BrokerStatus> => {
    const link = parts.peers.link(id)
    if (link === undefined)
      throw new BrokerError('BROKER_UNREACHABLE', `the address of broker ${id} is not known`)
    const answer = await link.request(RpcMethod.BROKER_STATUS, new Uint8Array(0), { timeoutMs: TIMEOUT_MS })
    return parseBrokerStatus(decodeJson(answer))
  }
  const tooLate = delay(TIMEOUT_MS).then((): never => {
    throw new BrokerError('TIMEOUT', 'the database of this broker does not answer')
  })
  const own = Promise.race([parts.own(), tooLate])
  const answers = await Promise.allSettled([own, ...parts.others.map(ask)])
  return partitionSizes(answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : [])))
}
