import { invariant, type Random, toError } from '@sluice/foundation'
import { RaftCore } from '../core/core.js'
import type { LogIndex, NodeId, RaftGroupId } from '../core/types.js'
import type { Wal } from '../wal/wal.js'
import type { WalWrite } from '../wal/group-log.js'
import { decodeFrame } from './codec.js'
import { Outbox, type RaftTransport } from './outbox.js'
import { type Completion, type GroupHost, RaftGroup, type StateMachine } from './raft-group.js'

export interface RaftTimings {
  /** Length of one tick, milliseconds. Default 100. */
  readonly tickMs: number
  /** Ticks without a leader before an election, plus a random part of the same length. Default 10. */
  readonly electionTicks: number
  /** Ticks between two heartbeats. Default 3. */
  readonly heartbeatTicks: number
}

export const DEFAULT_TIMINGS: RaftTimings = { tickMs: 100, electionTicks: 10, heartbeatTicks: 3 }

export interface RaftHostOptions {
  readonly nodeId: NodeId
  readonly wal: Wal
  readonly transport: RaftTransport
  readonly random: Random
  readonly timings?: RaftTimings
  /** Something broke that no retry mends: the process must end. */
  readonly onFatal: (error: Error) => void
}

export interface GroupSettings {
  readonly id: RaftGroupId
  /** 16 bytes that tell this group from any other that ever had its id. */
  readonly uuid: Uint8Array
  readonly name: string
  readonly voters: readonly NodeId[]
  /** What the state machine holds already, for example in a database. */
  readonly applied: LogIndex
  readonly machine: StateMachine
}

const INFLIGHT_MESSAGES_MAX = 64
const INFLIGHT_BYTES_MAX = 8 * 1024 * 1024
const APPEND_BYTES_MAX = 1024 * 1024
const UNCOMMITTED_BYTES_MAX = 64 * 1024 * 1024

/**
 * The Raft groups of one process, on one ticker and one log. Whatever happens marks groups dirty; one
 * turn of the event loop then takes care of all of them: one write and one sync, one frame per peer.
 */
export class RaftHost implements GroupHost {
  readonly #options: RaftHostOptions
  readonly #timings: RaftTimings
  readonly #outbox: Outbox
  readonly #groups = new Map<RaftGroupId, RaftGroup>()
  #dirty = new Set<RaftGroup>()
  #scheduled = false
  #stopped = false
  #ticker: NodeJS.Timeout | undefined

  constructor(options: RaftHostOptions) {
    this.#options = options
    this.#timings = options.timings ?? DEFAULT_TIMINGS
    this.#outbox = new Outbox(options.transport)
  }

  start(): void {
    invariant(this.#ticker === undefined, 'a host starts once')
    this.#ticker = setInterval(() => {
      for (const group of this.#groups.values()) group.tick()
    }, this.#timings.tickMs)
  }

  /** Takes no more input and answers what waits. What the log was given is still written by its `close`. */
  stop(): void {
    this.#stopped = true
    clearInterval(this.#ticker)
    for (const group of this.#groups.values()) group.close()
  }

  group(id: RaftGroupId): RaftGroup | undefined {
    return this.#groups.get(id)
  }

  groups(): IterableIterator<RaftGroup> {
    return this.#groups.values()
  }

  /** Starts a group: from its log when there is one of the same incarnation, else empty. */
  openGroup(settings: GroupSettings): RaftGroup {
    invariant(!this.#groups.has(settings.id), `group ${settings.id} is open already`)
    const log =
      this.#options.wal.group(settings.id) ??
      this.#options.wal.createGroup(settings.id, settings.uuid, settings.name)
    const same = log.uuid.every((byte, i) => byte === settings.uuid[i])
    invariant(same, `the log's group ${settings.id} is another incarnation`)
    const core = new RaftCore({
      id: this.#options.nodeId,
      group: settings.id,
      voters: settings.voters,
      electionTicks: this.#timings.electionTicks,
      heartbeatTicks: this.#timings.heartbeatTicks,
      inflightMessagesMax: INFLIGHT_MESSAGES_MAX,
      inflightBytesMax: INFLIGHT_BYTES_MAX,
      appendBytesMax: APPEND_BYTES_MAX,
      uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
      random: this.#options.random,
      log,
      hardState: log.hardState,
      applied: settings.applied,
    })
    const group = new RaftGroup({ core, log, machine: settings.machine, host: this })
    this.#groups.set(settings.id, group)
    this.markDirty(group)
    return group
  }

  /**
   * A frame from a peer.
   * @throws RaftDecodeError when it is none; nothing of it has taken effect
   */
  receive(from: NodeId, frame: Uint8Array): void {
    if (this.#stopped) return
    for (const { group, message, entries } of decodeFrame(frame, { from, to: this.#options.nodeId }))
      this.#groups.get(group)?.receive(message, entries)
  }

  /** The connection to a peer broke: what was sent may be lost. */
  peerDown(peer: NodeId): void {
    if (this.#stopped) return
    for (const group of this.#groups.values()) if (group.voters.includes(peer)) group.unreachable(peer)
  }

  compact(group: RaftGroup, index: LogIndex): void {
    if (!this.#stopped && index > group.log.compactedIndex) this.#options.wal.compact(group.id, index)
  }

  markDirty(group: RaftGroup): void {
    this.#dirty.add(group)
    if (this.#scheduled || this.#stopped) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  fatal(error: Error): void {
    this.#options.onFatal(error)
  }

  readonly #turn = (): void => {
    this.#scheduled = false
    if (this.#stopped) return
    try {
      const dirty = this.#dirty
      this.#dirty = new Set()
      const writes: WalWrite[] = []
      const completions: Completion[] = []
      for (const group of dirty) group.collect(writes, completions)
      if (writes.length > 0) this.#options.wal.append(writes, () => this.#persisted(completions))
      for (const group of dirty) group.carryOut(this.#outbox)
      this.#outbox.flush()
    } catch (error) {
      this.fatal(toError(error))
    }
  }

  #persisted(completions: readonly Completion[]): void {
    if (this.#stopped) return
    try {
      for (const completion of completions) completion.group.persisted(completion, this.#outbox)
      // The answers that waited for the disk leave with whatever they allow next.
      this.#turn()
    } catch (error) {
      this.fatal(toError(error))
    }
  }
}
