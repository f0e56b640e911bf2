import { encodeJson, RpcMethod } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import type { MetadataFollower, MetadataListener } from '@sluice/client'
import type { MetadataCommand, MetadataState } from '@sluice/metadata'
import type { ActivityGatherer } from './activity-gatherer.js'
import type { BrokerPeers } from './broker-peers.js'
import type { MetadataReplica } from './metadata-replica.js'

/** How a broker knows the metadata and has it changed, whether it has a vote or not. */
export interface MetadataSource {
  readonly state: MetadataState
  readonly ready: boolean
  /** Makes the state hold everything that was decided before the call. @throws BrokerError NOT_LEADER, NO_QUORUM, TIMEOUT */
  refresh(): Promise<void>
  /** What has changed, in order; undefined when anything may have. */
  onChange(listener: MetadataListener): void
  propose(command: MetadataCommand): Promise<void>
  /** Tells the metadata leader that this broker is alive. */
  reportAlive(): Promise<void>
}

const CALL_TIMEOUT_MS = 2000

/** A broker with a vote: its own replica, and the leader's when something is to be decided. */
export class VotingSource implements MetadataSource {
  readonly #replica: MetadataReplica
  readonly #peers: BrokerPeers
  readonly #activity: ActivityGatherer
  readonly #brokerId: number
  readonly #clock: Clock

  constructor(parts: {
    readonly replica: MetadataReplica
    readonly peers: BrokerPeers
    readonly activity: ActivityGatherer
    readonly brokerId: number
    readonly clock: Clock
  }) {
    this.#replica = parts.replica
    this.#peers = parts.peers
    this.#activity = parts.activity
    this.#brokerId = parts.brokerId
    this.#clock = parts.clock
  }

  get state(): MetadataState {
    return this.#replica.state
  }

  get ready(): boolean {
    return this.#replica.state.clusterId !== '' && this.#replica.leader !== 0
  }

  async refresh(): Promise<void> {
    await this.#replica.currentVersion()
  }

  onChange(listener: MetadataListener): void {
    this.#replica.onChange(listener)
  }

  async propose(command: MetadataCommand): Promise<void> {
    if (this.#replica.serving) await this.#replica.propose(command)
    else await this.#callLeader(RpcMethod.META_PROPOSE, command)
  }

  async reportAlive(): Promise<void> {
    if (this.#replica.serving) this.#activity.brokerSeen(this.#brokerId)
    else await this.#callLeader(RpcMethod.ACTIVITY, aliveReport(this.#brokerId, this.#clock))
  }

  async #callLeader(method: number, body: unknown): Promise<void> {
    const link = this.#peers.link(this.#replica.leader)
    if (link === undefined)
      throw new BrokerError('NO_QUORUM', 'the metadata has no leader yet', { outcome: 'no' })
    await link.request(method, encodeJson(body), { timeoutMs: CALL_TIMEOUT_MS })
  }
}

type Followed = Pick<MetadataFollower, 'state' | 'ready' | 'refresh' | 'onChange' | 'propose' | 'callLeader'>
type OwnReplica = Pick<MetadataReplica, 'state' | 'onChange'>

/**
 * A broker that was added: follows those that have a vote. Its own replica of the metadata may learn later than
 * others, or not at all any more; yet when nobody else is left to tell, what it knows is what there is.
 */
export class FollowingSource implements MetadataSource {
  readonly #follower: Followed
  readonly #replica: OwnReplica
  readonly #brokerId: number
  readonly #clock: Clock

  constructor(parts: {
    readonly follower: Followed
    readonly replica: OwnReplica
    readonly brokerId: number
    readonly clock: Clock
  }) {
    this.#follower = parts.follower
    this.#replica = parts.replica
    this.#brokerId = parts.brokerId
    this.#clock = parts.clock
  }

  /** The newer of the two: both take the same commands in the same order. */
  get state(): MetadataState {
    const [own, followed] = [this.#replica.state, this.#follower.state]
    return own.version > followed.version ? own : followed
  }

  get ready(): boolean {
    return this.#follower.ready
  }

  refresh(): Promise<void> {
    return this.#follower.refresh()
  }

  /** What one of the two says second is no news; what it says first begins at the latest with what is. */
  onChange(listener: MetadataListener): void {
    let told = this.state.version
    const tell: MetadataListener = (changes) => {
      const { version } = this.state
      if (version <= told) return
      told = version
      listener(changes)
    }
    this.#follower.onChange(tell)
    this.#replica.onChange(tell)
  }

  async propose(command: MetadataCommand): Promise<void> {
    await this.#follower.propose(command, { timeoutMs: CALL_TIMEOUT_MS, repeatable: true })
  }

  async reportAlive(): Promise<void> {
    await this.#follower.callLeader(
      RpcMethod.ACTIVITY,
      encodeJson(aliveReport(this.#brokerId, this.#clock)),
      {
        timeoutMs: CALL_TIMEOUT_MS,
        repeatable: true,
        kind: 'change',
      },
    )
  }
}

function aliveReport(brokerId: number, clock: Clock): Record<string, unknown> {
  const now = clock.now()
  return { now, producers: [], consumers: [], brokers: [[brokerId, now]] }
}
