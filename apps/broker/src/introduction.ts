import { isDeepStrictEqual } from 'node:util'
import { DEFAULT_SETTINGS, FEATURES } from '@sluice/metadata'
import type { BrokerAddress } from './broker-address.js'
import type { BrokerConfig } from './config.js'
import type { MetadataReplica } from './metadata-replica.js'
import type { MetadataSource } from './metadata-source.js'

export interface IntroductionParts {
  readonly metadata: MetadataReplica
  readonly source: MetadataSource
  readonly clusterId: string
  readonly brokerId: number
  readonly nodeUuid: string
  readonly address: { readonly host: string; readonly port: number }
  readonly founders: readonly BrokerAddress[]
  readonly config: Pick<BrokerConfig, 'rack' | 'replicationFactor' | 'deadAfterMs'>
}

/** False while the metadata sends others to where this broker was before; true for one that is no part of the cluster. */
export function isWhereKnown({
  source,
  brokerId,
  address,
}: Pick<IntroductionParts, 'source' | 'brokerId' | 'address'>): boolean {
  const known = source.state.broker(brokerId)
  return known === undefined || (known.host === address.host && known.port === address.port)
}

/** Founds the cluster when nobody has, and says where this broker is and what it can when that has changed. */
export async function introduce(parts: IntroductionParts, at: number): Promise<void> {
  const { metadata, source, clusterId, brokerId, nodeUuid, address, founders, config } = parts
  if (metadata.serving && metadata.state.clusterId === '') {
    const brokers = founders.map((broker) => ({ ...broker, uuid: '' }))
    const { replicationFactor, deadAfterMs } = config
    const settings = { ...DEFAULT_SETTINGS, replicationFactor, deadAfterMs }
    await metadata.propose({ kind: 'bootstrap', at, clusterId, brokers, settings })
  }
  const known = source.state.broker(brokerId)
  if (known === undefined) return
  const { host, port } = address
  const { rack } = config
  const said = { host, port, uuid: nodeUuid, rack, features: FEATURES }
  const { features } = known
  if (
    isDeepStrictEqual(said, {
      host: known.host,
      port: known.port,
      uuid: known.uuid,
      rack: known.rack,
      features,
    })
  )
    return
  await source.propose({ kind: 'update-broker', at, id: brokerId, ...said })
}
