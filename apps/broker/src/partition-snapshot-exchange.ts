import type { Random } from '@sluice/foundation'
import { type RaftHost, SnapshotExchange, type SnapshotSource, type SnapshotStore } from '@sluice/raft'
import type { Logger } from 'pino'
import type { BrokerPeers } from './broker-peers.js'

export interface ExchangeParts {
  readonly snapshots: SnapshotStore
  readonly peers: BrokerPeers
  /** Asked for when something arrives: it is made with the exchange, and after it. */
  readonly host: () => RaftHost
  /** A snapshot is here; it is to be closed. */
  readonly arrived: (groupId: number, from: number, source: SnapshotSource) => void
  readonly random: Random
  readonly logger: Logger
  readonly onFatal: (error: Error) => void
}

/** Snapshots come and go on the brokers' connections, behind everything else. */
export function snapshotExchange({
  snapshots,
  peers,
  host,
  arrived,
  random,
  logger,
  onFatal,
}: ExchangeParts): SnapshotExchange {
  return new SnapshotExchange({
    store: snapshots,
    random,
    send: (peer, frame) => peers.send(peer, frame),
    uuidOf: (group) => host().group(group)?.log.uuid,
    onReceived: (group, from, term, { index }, source) => {
      logger.info({ groupId: group, from, term, index }, 'took a snapshot of a partition')
      arrived(group, from, source)
    },
    onSent: (group, peer) => {
      logger.info({ groupId: group, peer }, 'sent a snapshot of a partition')
      host().snapshotEnded(group, peer)
    },
    onFailed: (group, peer, err) => {
      logger.warn({ err, groupId: group, peer }, 'a snapshot did not arrive; it is tried again')
      host().snapshotEnded(group, peer)
    },
    onReceiveFailed: (group, from, err) =>
      logger.warn({ err, groupId: group, from }, 'a snapshot could not be taken in'),
    onFatal,
  })
}
