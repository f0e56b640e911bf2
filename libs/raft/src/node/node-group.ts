import { type Clock, invariant, toError } from '@sluice/foundation'
import { ConfigurationError, decodeConfiguration, membersOf } from '../core/configuration.js'
import {
  type Entry,
  EntryKind,
  type LogIndex,
  type NodeId,
  type RaftGroupId,
  Role,
  type SnapshotMeta,
} from '../core/types.js'
import type { RaftGroup } from '../host/raft-group.js'
import type { RaftHost } from '../host/raft-host.js'
import type { GroupState } from '../host/state-machine.js'
import { Barriers } from './barrier.js'
import { ENVELOPE_BYTES } from './command-envelope.js'
import { CommandRouter } from './command-router.js'
import { CompactionPolicy } from './compaction-policy.js'
import { CommandFailedError, CommandTooLargeError } from './errors.js'
import { GroupMachine } from './group-machine.js'
import { MembershipDesk } from './membership-desk.js'
import type { NodeAddress } from './node-address.js'
import type { NodeMachine } from './node-machine.js'
import { encodeNodeRequest, NodeRequestKind } from './node-request.js'
import type { NodeTransport } from './node-transport.js'
import { type CommandOutcome, PendingCommands } from './pending-commands.js'
import { SnapshotKeeper, type SnapshotShelf } from './snapshot-keeper.js'
import type { SyncObjectConfig } from './sync-object-config.js'

/** What a group needs of its node. */
export interface GroupEnvironment {
  readonly nodeId: NodeId
  readonly host: RaftHost
  readonly transport: NodeTransport
  readonly config: SyncObjectConfig
  readonly clock: Clock
  readonly shelf: SnapshotShelf
  /** Random, below 2^48, of this process. */
  readonly instance: number
  readonly failed: (error: Error) => void
  /** A snapshot could not be made; it is tried again, and the log grows meanwhile. */
  readonly snapshotFailed: (error: Error) => void
  /** Whom the group's members are may have changed. */
  readonly membersChanged: () => void
  /** Who is in the group by a committed configuration may have changed. */
  readonly membersSettled: () => void
}

export interface NodeGroupSettings {
  readonly id: RaftGroupId
  readonly uuid: Uint8Array
  readonly name: string
  readonly machine: NodeMachine
  /** The group's first members; they are voters. */
  readonly members: readonly NodeAddress[]
  /** Others whose addresses are known. */
  readonly contacts: readonly NodeAddress[]
  readonly onStateChanged?: (state: GroupState, before: GroupState) => void
}

/** A leader that is busy is not gone. */
const FORWARD_TIMEOUT_MS_MIN = 1000

/** One group of a node: commands in, results out, who takes part, and when the log is compacted. */
export class NodeGroup {
  readonly id: RaftGroupId
  readonly group: RaftGroup
  readonly desk: MembershipDesk
  readonly #environment: GroupEnvironment
  readonly #machine: GroupMachine
  readonly #pending: PendingCommands<unknown>
  readonly #router: CommandRouter
  readonly #barriers: Barriers
  readonly #snapshots: SnapshotKeeper
  readonly #compaction: CompactionPolicy
  readonly #onStateChanged: NodeGroupSettings['onStateChanged']
  #state: GroupState
  #configuration: unknown
  #committedMembers: readonly NodeId[]
  #closed = false

  /** Puts back the newest snapshot and opens the group on its log. */
  static async open(settings: NodeGroupSettings, environment: GroupEnvironment): Promise<NodeGroup> {
    // The parts know each other through this; nothing asks before the group is there.
    const late: { group?: NodeGroup } = {}
    const self = (): NodeGroup => {
      invariant(late.group !== undefined, 'a group is asked once it is open')
      return late.group
    }
    const snapshots = new SnapshotKeeper({
      machine: settings.machine,
      shelf: environment.shelf,
      custom: environment.config.snapshots,
      position: () => self().#position(),
      compactedIndex: () => self().group.log.compactedIndex,
    })
    const recovered = await snapshots.recover()
    const group = new NodeGroup(settings, environment, { snapshots, recovered, self })
    late.group = group
    return group
  }

  private constructor(
    settings: NodeGroupSettings,
    environment: GroupEnvironment,
    parts: {
      readonly snapshots: SnapshotKeeper
      readonly recovered: { readonly meta: SnapshotMeta; readonly timeMs: number } | undefined
      readonly self: () => NodeGroup
    },
  ) {
    const { config, clock, host, transport, instance } = environment
    this.id = settings.id
    this.#environment = environment
    this.#snapshots = parts.snapshots
    this.#onStateChanged = settings.onStateChanged
    this.#pending = new PendingCommands<unknown>(
      {
        countMax: config.commandsQueueCountMax,
        bytesMax: config.commandsQueueBytesMax,
        waitMs: config.quorumTimeoutMs,
      },
      clock,
    )
    const { meta, timeMs = 0 } = parts.recovered ?? {}
    this.#machine = new GroupMachine(
      {
        machine: settings.machine,
        pending: this.#pending,
        snapshots: parts.snapshots,
        instance,
        observedTime: (time) => parts.self().#router.observedTime(time),
        stateChanged: (state) => parts.self().#stateChanged(state),
        applied: (entry) => parts.self().#entryApplied(entry),
        jumped: (meta) => parts.self().#jumped(meta),
      },
      { index: meta?.index ?? 0, term: meta?.term ?? 0, timeMs },
    )
    this.group = host.openGroup({
      id: settings.id,
      uuid: settings.uuid,
      name: settings.name,
      voters: settings.members.map(({ id }) => id),
      applied: meta?.index ?? 0,
      ...(meta === undefined ? {} : { snapshot: meta }),
      machine: this.#machine,
    })
    this.desk = new MembershipDesk(this.group, [...settings.members, ...settings.contacts])
    this.#router = new CommandRouter({
      group: this.group,
      pending: this.#pending,
      rules: {
        batching: config.appendBatching,
        batchBytesMax: config.appendBatchBytesMax,
        waitLeader: config.commandsWaitLeader,
        forwardTimeoutMs: Math.max(config.connectionTimeoutMs, FORWARD_TIMEOUT_MS_MIN),
      },
      clock,
      instance,
      forward: (to, bytes, timeoutMs) =>
        transport.request(
          to,
          encodeNodeRequest({ kind: NodeRequestKind.COMMANDS, group: settings.id, body: bytes }),
          timeoutMs,
        ),
      isConnected: (peer) => transport.link(peer) === 'connected',
      soon: (run) => void setImmediate(run),
      failed: environment.failed,
    })
    this.#router.observedTime(timeMs)
    this.#barriers = new Barriers(this.group, clock, config.quorumTimeoutMs)
    this.#compaction = new CompactionPolicy(
      {
        minEntries: config.logCompactionMinEntries,
        minMs: config.logCompactionMinMs,
        split: config.logCompactionSplit,
      },
      clock,
    )
    this.#state = this.group.state
    this.#configuration = this.group.configuration
    const { log, applied } = this.group
    this.#committedMembers = membersIn(this.group.configurationAt(Math.max(applied, log.compactedIndex)))
  }

  /** Everybody who is a member by the last committed configuration, or by the one in force. */
  get members(): readonly NodeId[] {
    return [...this.#committedMembers, ...membersOf(this.group.configuration)]
  }

  get pendingCount(): number {
    return this.#pending.count
  }

  get isMakingSnapshot(): boolean {
    return this.#snapshots.isMaking
  }

  /**
   * Has a command carried out by the group; the result is what this node's own machine gave.
   * @throws CommandFailedError, CommandTooLargeError
   */
  submit(payload: Uint8Array, signal?: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: CommandOutcome<unknown>): void => {
        signal?.removeEventListener('abort', abort)
        if (outcome.kind === 'applied') resolve(outcome.result)
        else reject(outcome.error)
      }
      const refusal = this.#refusalOf(payload, signal)
      const sequence = refusal === undefined ? this.#pending.add(payload, settle) : undefined
      const abort = (): void => {
        if (sequence !== undefined) this.#pending.abort(sequence)
      }
      if (sequence === undefined) {
        reject(refusal ?? new CommandFailedError('QUEUE_FULL', 'no'))
        return
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#router.wanted()
    })
  }

  /** @throws CommandFailedError when no leader could be asked in time */
  barrier(signal?: AbortSignal): Promise<void> {
    return this.#closed
      ? Promise.reject(new CommandFailedError('DESTROYED', 'no'))
      : this.#barriers.pass(signal)
  }

  /** Commands that another node forwarded. @throws EnvelopeError */
  receiveForwarded(bytes: Uint8Array): Uint8Array {
    return this.#router.receive(bytes)
  }

  /** Makes a snapshot and drops the whole log before it, now. Resolves with the snapshot's index. */
  forceCompaction(): Promise<LogIndex> {
    return this.#compact((snapshotIndex) => snapshotIndex)
  }

  /** A tick is over. */
  tick(): void {
    if (this.#closed) return
    this.#pending.expire()
    this.#router.changed()
    this.#barriers.changed()
    this.#noticeMembers()
    const { group } = this
    const isDue = this.#compaction.isDue({
      entryCount: this.#machine.position.index - group.log.compactedIndex,
      self: this.#environment.nodeId,
      members: membersOf(group.configuration),
    })
    if (isDue && !this.#snapshots.isMaking) this.#compactByPolicy()
  }

  /** Refuses everything from here on and settles what waits. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#router.close()
    this.#pending.destroy()
    this.#barriers.destroy()
    this.desk.abandon('DESTROYED')
    await this.#snapshots.idle()
  }

  async #compact(dropTo: (snapshotIndex: LogIndex) => LogIndex): Promise<LogIndex> {
    this.#compaction.done()
    const index = await this.#snapshots.make()
    if (!this.#closed) this.#environment.host.compact(this.group, dropTo(index))
    return index
  }

  #compactByPolicy(): void {
    const dropTo = (snapshotIndex: LogIndex): LogIndex =>
      this.#compaction.dropTo({ snapshotIndex, heldByAll: this.group.compactionLimit() })
    this.#compact(dropTo).catch((error: unknown) => {
      this.#compaction.failed()
      this.#environment.snapshotFailed(toError(error))
    })
  }

  #refusalOf(payload: Uint8Array, signal: AbortSignal | undefined): Error | undefined {
    const sizeBytesMax = this.#environment.config.commandBytesMax
    if (this.#closed) return new CommandFailedError('DESTROYED', 'no')
    if (signal?.aborted === true) return new CommandFailedError('ABORTED', 'no')
    const sizeBytes = payload.length + ENVELOPE_BYTES
    return sizeBytes > sizeBytesMax ? new CommandTooLargeError({ sizeBytes, sizeBytesMax }) : undefined
  }

  #position(): SnapshotMeta & { readonly timeMs: number } {
    const position = this.#machine.position
    return { ...position, configuration: this.group.configurationAt(position.index) }
  }

  #stateChanged(state: GroupState): void {
    const before = this.#state
    this.#state = state
    if (this.#closed) return
    if (state.role !== Role.LEADER && state.leader === 0 && !this.#environment.config.commandsWaitLeader)
      this.#pending.failWaiting('MISSING_LEADER')
    this.#router.changed()
    this.#barriers.changed()
    this.#onStateChanged?.(state, before)
  }

  #entryApplied(entry: Entry): void {
    this.desk.applied(entry.index, entry.term)
    if (entry.kind !== EntryKind.CONFIGURATION) return
    this.#noticeMembers()
    this.#committedMembers = membersIn(entry.data)
    this.#environment.membersSettled()
  }

  #jumped({ configuration }: SnapshotMeta): void {
    this.desk.abandon('LEADER_CHANGED')
    this.#noticeMembers()
    this.#committedMembers = membersIn(configuration)
    this.#environment.membersSettled()
  }

  #noticeMembers(): void {
    const { configuration } = this.group
    if (configuration === this.#configuration) return
    this.#configuration = configuration
    this.#environment.membersChanged()
  }
}

/** Nobody, in the configuration that a node begins with when it is to be added. */
function membersIn(encoded: Uint8Array): readonly NodeId[] {
  try {
    return membersOf(decodeConfiguration(encoded))
  } catch (error) {
    if (error instanceof ConfigurationError) return []
    throw error
  }
}
