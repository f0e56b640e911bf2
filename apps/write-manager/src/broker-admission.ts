import { addressText, type ClusterClient, type NodeCalls } from '@sluice/client'
import { CLUSTER_PROTOCOL } from '@sluice/contracts'
import { type BrokerId, BrokerError, toBrokerId } from '@sluice/domain'
import { type Clock, delay } from '@sluice/foundation'
import { type BrokerInfo, type FeatureRange, supports } from '@sluice/metadata'

const JOIN_TRIES_MAX = 5
const JOIN_RETRY_MS = 100

/** Brings broker processes into the cluster. */
export class BrokerAdmission {
  readonly #cluster: Pick<ClusterClient, 'metadata' | 'node'>
  readonly #clock: Clock
  readonly #timeoutMs: number

  constructor(parts: {
    readonly cluster: Pick<ClusterClient, 'metadata' | 'node'>
    readonly clock: Clock
    readonly timeoutMs: number
  }) {
    this.#cluster = parts.cluster
    this.#clock = parts.clock
    this.#timeoutMs = parts.timeoutMs
  }

  /**
   * Adds the process that waits at the address. Asked again after a failure half-way, it goes on there.
   * @throws BrokerError BROKER_UNREACHABLE, BROKER_REFUSED, BROKER_EXISTS: nothing changed
   */
  async add(address: { readonly host: string; readonly port: number }, by: string): Promise<BrokerId> {
    const node = this.#cluster.node(address)
    try {
      return await this.#addNode(node, address, by)
    } catch (error) {
      throw aboutPort(error)
    } finally {
      await node.close()
    }
  }

  async #addNode(
    node: NodeCalls,
    address: { readonly host: string; readonly port: number },
    by: string,
  ): Promise<BrokerId> {
    const { metadata } = this.#cluster
    const { clusterId, nodeUuid, brokerId: knownAs, state, protocol, features } = await node.info()
    await metadata.refresh()
    const own = metadata.state.clusterId
    if (clusterId !== '' && clusterId !== own)
      throw new BrokerError('BROKER_REFUSED', `${addressText(address)} belongs to cluster ${clusterId}`, {
        component: 'broker',
        outcome: 'no',
      })
    if (protocol !== CLUSTER_PROTOCOL)
      throw new BrokerError(
        'BROKER_REFUSED',
        `${addressText(address)} speaks version ${protocol} of the brokers' protocol, this cluster version ${CLUSTER_PROTOCOL}`,
        { component: 'broker', outcome: 'no' },
      )
    const member = this.#member(nodeUuid) ?? this.#founder(knownAs, clusterId)
    // Its log and votes are of a place that it has lost for good.
    if (member === undefined && clusterId !== '')
      throw new BrokerError(
        'BROKER_REFUSED',
        `${addressText(address)} was broker ${knownAs} of this cluster and was removed: it needs an empty data directory`,
        { component: 'broker', outcome: 'no' },
      )
    if (member !== undefined && state === 'serving')
      throw new BrokerError('BROKER_EXISTS', `${addressText(address)} is broker ${member.id} already`, {
        outcome: 'no',
      })
    const { featureLevel } = metadata.state.settings
    if (!supports(features, featureLevel))
      throw new BrokerError(
        'UNSUPPORTED_VERSION',
        `${addressText(address)} runs in feature levels ${features.min} to ${features.max}, the cluster is at ${featureLevel}: start a version of it that runs in that`,
        { component: 'broker', field: 'port', outcome: 'no' },
      )
    const brokerId = member?.id ?? (await this.#propose({ ...address, uuid: nodeUuid, features, by }))
    await this.#join(node, { clusterId: own, brokerId })
    return brokerId
  }

  async #propose(broker: {
    readonly host: string
    readonly port: number
    readonly uuid: string
    readonly features: FeatureRange
    readonly by: string
  }): Promise<BrokerId> {
    const { metadata } = this.#cluster
    try {
      const result = await metadata.propose(
        { kind: 'add-broker', at: this.#clock.now(), ...broker },
        { timeoutMs: this.#timeoutMs, repeatable: true },
      )
      return toBrokerId(result['brokerId'])
    } catch (error) {
      // Added by an earlier try, or by somebody else at the same time.
      if (!(error instanceof BrokerError) || error.code !== 'BROKER_EXISTS') throw error
      await metadata.refresh()
      const member = this.#member(broker.uuid)
      if (member === undefined) throw error
      return member.id
    }
  }

  async #join(
    node: NodeCalls,
    seat: { readonly clusterId: string; readonly brokerId: BrokerId },
  ): Promise<void> {
    const brokers = Array.from(this.#cluster.metadata.state.brokers(), ({ id, host, port }) => ({
      id,
      host,
      port,
    }))
    for (let attempt = 1; ; attempt++) {
      try {
        await node.join({ ...seat, brokers })
        return
      } catch (error) {
        const isWorthIt = !(error instanceof BrokerError) || error.retriable
        if (attempt === JOIN_TRIES_MAX || !isWorthIt) throw notJoined(error, seat.brokerId)
        await delay(JOIN_RETRY_MS * attempt)
      }
    }
  }

  /** One that has not said yet which directory it has. */
  #founder(brokerId: number | null, clusterId: string): BrokerInfo | undefined {
    const broker =
      brokerId === null || clusterId === '' ? undefined : this.#cluster.metadata.state.broker(brokerId)
    return broker?.uuid === '' ? broker : undefined
  }

  #member(uuid: string): BrokerInfo | undefined {
    for (const broker of this.#cluster.metadata.state.brokers()) if (broker.uuid === uuid) return broker
    return undefined
  }
}

/** The cluster counts on the broker already: the caller must know that it is half-way in. */
function notJoined(error: unknown, brokerId: BrokerId): unknown {
  if (!(error instanceof BrokerError)) return error
  return new BrokerError(
    error.code,
    `broker ${brokerId} was added but did not take its place yet; the same call again goes on: ${error.message}`,
    { component: error.component, outcome: 'unknown', cause: error },
  )
}

function aboutPort(error: unknown): unknown {
  if (!(error instanceof BrokerError) || !error.code.startsWith('BROKER_')) return error
  const { component, outcome } = error
  return new BrokerError(error.code, error.message, { component, outcome, field: 'port', cause: error })
}
