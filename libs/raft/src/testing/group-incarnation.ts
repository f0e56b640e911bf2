import { simpleConfiguration } from '../core/configuration.js'
import type { Configuration, NodeId, RaftGroupId } from '../core/types.js'
import type { SmallLimits } from './conditions.js'
import { allInvariants } from './invariants/all-invariants.js'
import type {
  InvariantCheck,
  ObservedDisk,
  ObservedGroup,
  ObservedReplica,
} from './invariants/invariant-check.js'

/** Where a group's replicas are found. */
export interface ReplicaFinder {
  disk(incarnation: GroupIncarnation, node: NodeId): ObservedDisk | undefined
  lostDisk(incarnation: GroupIncarnation, node: NodeId): ObservedDisk | undefined
  hasLost(node: NodeId): boolean
  replicas(incarnation: GroupIncarnation): Iterable<ObservedReplica>
}

/** A group from its beginning until its id is given to another one, with the laws that watch over it. */
export class GroupIncarnation implements ObservedGroup {
  readonly id: RaftGroupId
  readonly tag: number
  readonly uuid: Uint8Array
  readonly initial: Configuration
  readonly limits: SmallLimits
  readonly keepsLogs: boolean
  readonly electionTicks: number
  checks: Required<InvariantCheck>
  isRetired = false
  readonly #finder: ReplicaFinder

  constructor(parts: {
    readonly id: RaftGroupId
    /** Counts the incarnations of the id. */
    readonly number: number
    readonly voters: readonly NodeId[]
    readonly learners: readonly NodeId[]
    readonly limits: SmallLimits
    readonly keepsLogs: boolean
    readonly electionTicks: number
    readonly finder: ReplicaFinder
  }) {
    const { id, number, voters, learners } = parts
    this.id = id
    this.tag = id * 1000 + number
    this.uuid = new Uint8Array(16)
    new DataView(this.uuid.buffer).setUint32(0, this.tag)
    this.initial = simpleConfiguration(voters, learners)
    this.limits = parts.limits
    this.keepsLogs = parts.keepsLogs
    this.electionTicks = parts.electionTicks
    this.#finder = parts.finder
    this.checks = allInvariants(this)
  }

  /** The id belongs to another group now: what becomes of this one is nobody's concern. */
  retire(): void {
    this.isRetired = true
    this.checks = NO_CHECKS
  }

  disk(node: NodeId): ObservedDisk | undefined {
    return this.#finder.disk(this, node)
  }

  lostDisk(node: NodeId): ObservedDisk | undefined {
    return this.#finder.lostDisk(this, node)
  }

  hasLost(node: NodeId): boolean {
    return this.#finder.hasLost(node)
  }

  replicas(): Iterable<ObservedReplica> {
    return this.#finder.replicas(this)
  }
}

const nothing = (): void => undefined

const NO_CHECKS: Required<InvariantCheck> = {
  opened: nothing,
  stepped: nothing,
  settled: nothing,
  ticked: nothing,
  sent: nothing,
  applied: nothing,
  snapshot: nothing,
  invoked: nothing,
  answered: nothing,
  converged: nothing,
}
