import { decodeJson, encodeJson, RpcMethod, toBrokerError } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import type { Random } from '@sluice/foundation'
import { type FeatureRange, FIRST_FEATURES, toFeatureRange } from '@sluice/metadata'
import { RpcError, RpcLink } from '@sluice/rpc'
import { addressText, type BrokerAddress } from './broker-address.js'
import { unsupported } from './call-failure.js'

/** What a broker process says of itself. */
export interface NodeInfo {
  /** Empty: it belongs to no cluster and waits for one. */
  readonly clusterId: string
  readonly nodeUuid: string
  readonly brokerId: number | null
  readonly state: 'waiting' | 'serving'
  /** Feature levels that it can run in; the first version says nothing. */
  readonly features: FeatureRange
  /** What it speaks; see `CLUSTER_PROTOCOL`. */
  readonly protocol: number
}

export interface NodeJoin {
  readonly clusterId: string
  readonly brokerId: number
  readonly brokers: readonly { readonly id: number; readonly host: string; readonly port: number }[]
}

/** Talks to one broker process as an administrator, whichever cluster it belongs to. */
export class NodeCalls {
  readonly #address: BrokerAddress
  readonly #link: RpcLink
  readonly #timeoutMs: number

  constructor(
    address: BrokerAddress,
    parts: { readonly nodeId: string; readonly random: Random; readonly timeoutMs: number },
  ) {
    this.#address = address
    this.#timeoutMs = parts.timeoutMs
    this.#link = new RpcLink({
      host: address.host,
      port: address.port,
      identity: { clusterId: '', nodeId: parts.nodeId, role: 'admin' },
      random: parts.random,
      limits: { connectTimeoutMs: parts.timeoutMs },
    })
  }

  /** @throws BrokerError BROKER_UNREACHABLE: nothing answers; BROKER_REFUSED: no broker; UNSUPPORTED_VERSION */
  async info(): Promise<NodeInfo> {
    const json = await this.#ask(RpcMethod.NODE_INFO, new Uint8Array(0))
    const { clusterId, nodeUuid, brokerId, state, protocol, features } = (
      typeof json === 'object' && json !== null ? json : {}
    ) as Record<string, unknown>
    if (
      typeof clusterId !== 'string' ||
      typeof nodeUuid !== 'string' ||
      nodeUuid === '' ||
      (brokerId !== null && typeof brokerId !== 'number') ||
      (state !== 'waiting' && state !== 'serving') ||
      typeof protocol !== 'number'
    )
      throw new BrokerError('BROKER_REFUSED', `what answers at ${addressText(this.#address)} is no broker`, {
        outcome: 'no',
      })
    return {
      clusterId,
      nodeUuid,
      brokerId,
      state,
      protocol,
      features: toFeatureRange(features) ?? FIRST_FEATURES,
    }
  }

  /** Tells a waiting broker its place in the cluster; telling it again changes nothing. */
  async join(join: NodeJoin): Promise<void> {
    await this.#ask(RpcMethod.NODE_JOIN, encodeJson(join))
  }

  close(): Promise<void> {
    return this.#link.close()
  }

  async #ask(method: number, payload: Uint8Array): Promise<unknown> {
    try {
      return decodeJson(await this.#link.request(method, payload, { timeoutMs: this.#timeoutMs }))
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      if (error.code === 'REMOTE') throw toBrokerError(error.remote)
      if (error.code === 'UNSUPPORTED_VERSION') throw unsupported(error)
      if (error.code === 'REFUSED')
        throw new BrokerError('BROKER_REFUSED', error.message, {
          component: 'broker',
          outcome: 'no',
          cause: error,
        })
      throw new BrokerError(
        'BROKER_UNREACHABLE',
        `no broker answers at ${addressText(this.#address)}: ${error.message}`,
        { component: 'broker', outcome: error.outcome, cause: error },
      )
    }
  }
}
