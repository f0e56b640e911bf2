import { invariant, type Random, toError } from '@sluice/foundation'
import type { NodeId, RaftGroupId } from '../core/types.js'
import { decodeFrame, incarnationOf, RaftDecodeError } from '../host/codec.js'
import { RaftHost } from '../host/raft-host.js'
import type { SnapshotSource } from '../host/state-machine.js'
import type { GroupIncarnation } from './group-incarnation.js'
import { InvariantBroken } from './invariants/invariant-check.js'
import { SimCarrier } from './sim-carrier.js'
import { emptyMachineDisk, type MachineDisk, SimMachine } from './sim-machine.js'
import { SimReplica } from './sim-replica.js'
import { SimStore, sameBytes } from './sim-store.js'
import type { Surroundings } from './surroundings.js'

export const TICK_MS = 10
export const ELECTION_TICKS = 10
/** A disk that hangs for longer than this costs its node the leadership. Milliseconds. */
const DISK_STALL_MS = 250

interface Waiting {
  readonly run: (host: RaftHost) => void
  readonly dropped?: () => void
  readonly endsTurn?: boolean
}

/** One machine of the simulation: a disk, and the processes that run on it one after the other. */
export class SimNode {
  readonly id: NodeId
  readonly store: SimStore
  /** It is gone for ever; its disk is remembered as it was. */
  isDestroyed = false
  /** Its disk has lost what was synced, at some time. */
  hasLost = false
  readonly #around: Surroundings
  readonly #random: Random
  readonly #machineDisks = new Map<number, MachineDisk>()
  #host: RaftHost | undefined
  #replicas = new Map<RaftGroupId, SimReplica>()
  /** Counts the processes: what belongs to an earlier one never happens. */
  #processes = 0
  #openings = 0
  #turnScheduled = false
  #pausedUntilMs = 0
  #ticksFirst = false
  /** Groups that decide nothing before an earlier opening's writes are durable. */
  #held = new Set<RaftGroupId>()
  /** Groups that are taking a snapshot from another node. */
  #taking = new Set<GroupIncarnation>()
  #missedTick: Waiting['run'] | undefined
  #backlog: Waiting[] = []
  #ticks = 0
  #heardAtTick = new Map<NodeId, number>()
  /** The process dies in the turn that sends more frames than this. */
  #sendsLeft: number | undefined
  /** Tags of the groups whose logs this node had, and lost. */
  readonly #recovering = new Set<number>()
  #dies: (() => void) | undefined

  constructor(id: NodeId, around: Surroundings, streams: { readonly disk: Random; readonly node: Random }) {
    this.id = id
    this.#around = around
    this.#random = streams.node
    this.store = new SimStore({
      random: streams.disk,
      times: () => around.diskTimes(),
      now: () => around.now(),
      later: (delayMs, run) => around.later(delayMs, run),
      tell: (run) => this.enter(run),
      cachedEntries: around.conditions.cachedEntries,
      missed: around.promisesMoved,
      slowRead: (value) => {
        around.counts.slowReads++
        return this.#slow(value, around.diskTimes().syncMs)
      },
      sabotage: around.sabotage,
    })
  }

  get isUp(): boolean {
    return this.#host !== undefined
  }

  replica(id: RaftGroupId): SimReplica | undefined {
    return this.#replicas.get(id)
  }

  start(): void {
    invariant(!this.isUp && !this.isDestroyed, 'a node starts when it is down')
    const { conditions, groups } = this.#around
    this.#processes++
    this.#ticks = 0
    this.#heardAtTick = new Map()
    const host = this.#newHost()
    this.#host = host
    for (const incarnation of groups()) this.#open(host, incarnation)
    host.start()
    this.#after(false)
    invariant(conditions.heartbeatTicks < ELECTION_TICKS, 'heartbeats come more often than elections')
  }

  /** @param kept the part of what was not synced that survives, from 0 to 1 */
  crash(kept: number): void {
    if (!this.isUp) return
    this.#host = undefined
    this.#end()
    this.store.crash(kept)
  }

  /** The process ends as it should; everything that it wrote is on the disk. */
  stop(): void {
    this.#host?.stop()
    this.crash(1)
  }

  /** The process ends, and the log is gone. With the machine's state it goes on from there. */
  loseLog(keepsMachine: boolean): void {
    this.crash(0)
    // Of a group that it had nothing of, it can have promised nothing.
    for (const { id, uuid, tag } of this.#around.groups())
      if (this.store.durable(id, uuid) !== undefined) this.#recovering.add(tag)
    this.store.lose()
    this.hasLost = true
    if (!keepsMachine) this.#machineDisks.clear()
  }

  /** It has not got back what it lost in this group. */
  isRecovering({ tag }: GroupIncarnation): boolean {
    return this.#recovering.has(tag)
  }

  destroy(): void {
    this.crash(0)
    this.isDestroyed = true
  }

  /** Nothing happens here for so long; what should have happens afterwards. */
  pause(durationMs: number, ticksFirst: boolean): void {
    const { now, later } = this.#around
    if (!this.isUp || this.#isPaused) return
    this.#pausedUntilMs = now() + durationMs
    this.#ticksFirst = ticksFirst
    const processes = this.#processes
    later(durationMs, () => {
      if (processes === this.#processes) this.resume()
    })
  }

  /** Nothing is wrong with the node any more, and nothing is about to be. */
  heal(): void {
    this.#sendsLeft = undefined
    this.#dies = undefined
    this.store.unstall()
    this.resume()
    if (!this.isUp) this.start()
  }

  resume(): void {
    this.#pausedUntilMs = 0
    const tick = this.#missedTick
    this.#missedTick = undefined
    const waiting = this.#backlog
    this.#backlog = []
    // However many ticks were missed, the event loop makes them one.
    const late: Waiting[] = tick === undefined ? [] : [{ run: tick }]
    for (const event of this.#ticksFirst ? [...late, ...waiting] : [...waiting, ...late])
      this.#later(0, event)
  }

  /** The process dies in the first turn from now on that sends more than `sends` frames. */
  dieInTurn(sends: number, dies: () => void): void {
    if (!this.isUp || this.#sendsLeft !== undefined) return
    this.#sendsLeft = sends
    this.#dies = dies
  }

  /**
   * Runs one call into the process as an event: later when it stands still, never when it is gone.
   * @param how.endsTurn the call ends with a turn, so that nothing decided waits to be handed out
   */
  enter(run: Waiting['run'], how: Omit<Waiting, 'run'> = {}): void {
    const host = this.#host
    if (host === undefined) {
      how.dropped?.()
      return
    }
    if (this.#isPaused) {
      this.#backlog.push({ run, ...how })
      return
    }
    run(host)
    // What a host that failed has left half done is no violation of its own.
    this.#around.throwFailure()
    this.#after(how.endsTurn === true)
  }

  receive(from: NodeId, frame: Uint8Array): void {
    this.enter((host) => {
      this.#heardAtTick.set(from, this.#ticks)
      host.receive(from, frame)
    })
  }

  /** What a checksum would have kept away: the decoder may refuse it, and do nothing else. */
  receiveDamaged(from: NodeId, frame: Uint8Array): void {
    try {
      decodeFrame(frame, { from, to: this.id })
    } catch (error) {
      if (!(error instanceof RaftDecodeError))
        throw new InvariantBroken(`damaged frames are refused: ${toError(error).stack ?? ''}`)
    }
  }

  receiveSnapshot(incarnation: GroupIncarnation, source: SnapshotSource): void {
    this.enter((host) => {
      if (this.#replicas.get(incarnation.id)?.incarnation !== incarnation) return
      // As carriers do: one at a time for a group, until the group has taken it.
      if (this.#taking.has(incarnation)) return
      this.#taking.add(incarnation)
      this.#around.promisesMoved()
      host.snapshotReceived(incarnation.id, {
        meta: source.meta,
        sizeBytes: source.sizeBytes,
        read: (offset, lengthMax) => source.read(offset, lengthMax),
        close: () => {
          this.#taking.delete(incarnation)
          return source.close()
        },
      })
    })
  }

  /** Opens the group here, in place of any earlier incarnation. */
  openGroup(incarnation: GroupIncarnation): void {
    this.enter((host) => {
      if (this.#replicas.get(incarnation.id)?.incarnation !== incarnation) this.#open(host, incarnation)
    })
  }

  closeGroup(id: RaftGroupId): void {
    this.enter((host) => {
      const replica = this.#replicas.get(id)
      if (replica === undefined) return
      const { isWriting } = replica.group
      host.closeGroup(id)
      this.#closed(replica, isWriting)
    })
  }

  /** The machine's state becomes durable. */
  checkpoint(id: RaftGroupId): void {
    this.enter(() => this.#replicas.get(id)?.machine.checkpoint())
  }

  /** Drops what neither this node's restart needs nor, where there are no snapshots, any member. */
  compact(id: RaftGroupId, keep: number): void {
    this.enter((host) => {
      const replica = this.#replicas.get(id)
      if (replica === undefined) return
      const { group, machine } = replica
      const durable = Math.min(machine.durableIndex, group.applied)
      const limit = this.#around.conditions.snapshots ? durable - keep : group.compactionLimit()
      if (Math.min(durable, limit) <= group.log.compactedIndex) return
      this.#around.counts.compactions++
      host.compact(group, Math.min(durable, limit))
    })
  }

  get #isPaused(): boolean {
    return this.#pausedUntilMs > 0
  }

  #newHost(): RaftHost {
    const { conditions, failed } = this.#around
    const { heartbeatTicks, quiesceTicks, limits, snapshots } = conditions
    const host: RaftHost = new RaftHost({
      nodeId: this.id,
      epoch: this.#processes,
      onRecovered: (group) => this.#recovered(group),
      store: this.store,
      transport: { send: (peer, frame) => this.#send(host, peer, frame) },
      random: this.#random,
      timings: {
        tickMs: TICK_MS,
        electionTicks: ELECTION_TICKS,
        heartbeatTicks,
        quiesceTicks,
        diskStallMs: DISK_STALL_MS,
      },
      limits,
      scheduler: {
        soon: (run) => {
          if (host === this.#host) this.#scheduleTurn(run)
        },
        every: (ms, run) => this.#every(ms, run),
      },
      ...(snapshots ? { snapshots: this.#newCarrier() } : {}),
      onFatal: failed,
    })
    return host
  }

  #newCarrier(): SimCarrier {
    const { conditions, isCut, promisesMoved, snapshotLost, sendSnapshot } = this.#around
    return new SimCarrier({
      random: this.#random,
      later: (delayMs, run) => this.#later(delayMs, { run }),
      durationMs: conditions.snapshotMs,
      lostPart: snapshotLost,
      isCut: (to) => isCut(this.id, to) || isCut(to, this.id),
      arrive: ({ group, peer }, source) => {
        const replica = this.#replicas.get(group as RaftGroupId)
        if (replica !== undefined) sendSnapshot(peer, replica.incarnation, source)
      },
      ended: ({ group, peer }) => this.#host?.snapshotEnded(group as RaftGroupId, peer),
      promisesMoved,
    })
  }

  #open(host: RaftHost, incarnation: GroupIncarnation): void {
    const { id, uuid, tag, initial } = incarnation
    this.#forgetOther(host, incarnation)
    const isFirst = initial.voters.includes(this.id) || initial.learners.includes(this.id)
    const disk = this.#machineDisks.get(tag) ?? emptyMachineDisk()
    this.#machineDisks.set(tag, disk)
    const { conditions, sabotage, snapshotLost } = this.#around
    const startsFromSnapshot = conditions.snapshots && conditions.restartsFromSnapshot
    const late: { replica?: SimReplica } = {}
    const machine: SimMachine = new SimMachine({
      disk,
      random: this.#random,
      sabotage,
      startsFromSnapshot,
      slow: (value) => this.#slow(value, conditions.snapshotMs),
      snapshotLost: snapshotLost(),
      configurationAt: (index) => late.replica!.group.configurationAt(index),
      compactedIndex: () => late.replica!.group.log.compactedIndex,
      applied: (entry, previous) => late.replica!.entryApplied(entry, previous),
      snapshot: (meta, about) => late.replica!.snapshotTaken(meta, about),
    })
    const isRecovering = this.#recovering.has(tag) && sabotage !== 'hides-lost-logs'
    const snapshot = startsFromSnapshot || isRecovering ? disk.snapshot?.meta : disk.restored
    const group = host.openGroup({
      id,
      uuid,
      name: `group ${tag}`,
      voters: isFirst ? initial.voters : [],
      learners: isFirst ? initial.learners : [],
      applied: machine.state.applied,
      keepsCommit: tag % 2 === 0,
      isRecovering,
      ...(snapshot === undefined ? {} : { snapshot }),
      machine: conditions.snapshots ? machine.withSnapshots() : machine,
    })
    const durable = (): ReturnType<SimStore['durable']> => this.store.durable(id, uuid)
    late.replica = new SimReplica({
      node: this.id,
      opening: ++this.#openings,
      incarnation,
      machine,
      group,
      around: this.#around,
      durable,
      silentTicks: (peer) => this.#ticks - (this.#heardAtTick.get(peer) ?? 0),
    })
    this.#replicas.set(id, late.replica)
  }

  #recovered(id: RaftGroupId): void {
    const replica = this.#replicas.get(id)
    if (replica === undefined) return
    this.#recovering.delete(replica.incarnation.tag)
    this.store.recovered(id)
  }

  #forgetOther(host: RaftHost, { id, uuid }: GroupIncarnation): void {
    const log = this.store.group(id)
    if (log === undefined || sameBytes(log.uuid, uuid)) return
    const replica = this.#replicas.get(id)
    const isWriting = replica?.group.isWriting === true
    host.removeGroup(id)
    if (replica !== undefined) this.#closed(replica, isWriting)
  }

  /** The host holds the group's next opening back until what this one has written is durable. */
  #closed(replica: SimReplica, isWriting: boolean): void {
    const { id } = replica.incarnation
    if (isWriting) {
      this.#held.add(id)
      this.store.append([], () => this.#held.delete(id))
    }
    this.#replicas.delete(id)
    replica.close()
  }

  #send(host: RaftHost, peer: NodeId, frame: Uint8Array): boolean {
    if (host !== this.#host) return false
    if (this.#sendsLeft !== undefined && --this.#sendsLeft < 0) return false
    const { trace, now, send } = this.#around
    for (const { group, incarnation, message, entries } of decodeFrame(frame, { from: this.id, to: peer })) {
      trace.message(now(), group, message)
      const replica = this.#replicas.get(group)
      if (replica === undefined || incarnationOf(replica.incarnation.uuid) !== incarnation) continue
      replica.incarnation.checks.sent(replica, message, entries)
    }
    return send(this.id, peer, frame)
  }

  #scheduleTurn(run: () => void): void {
    this.#turnScheduled = true
    const turn = (): void => {
      this.#turnScheduled = false
      run()
    }
    this.#later(this.#random.next() * this.#around.conditions.turnDelayMs, { run: turn, endsTurn: true })
  }

  #every(ms: number, run: () => void): () => void {
    const processes = this.#processes
    let ended = false
    const wait = (): void => {
      const { later, clockRate } = this.#around
      later((ms / clockRate(this.id)) * (0.95 + 0.1 * this.#random.next()), () => {
        if (ended || processes !== this.#processes) return
        this.#tick(run)
        wait()
      })
    }
    wait()
    return () => {
      ended = true
    }
  }

  #tick(run: () => void): void {
    const tick = (): void => {
      this.#ticks++
      run()
      this.#observe(!this.#turnScheduled)
      for (const replica of this.#replicas.values()) replica.incarnation.checks.ticked(replica)
    }
    if (this.#isPaused) this.#missedTick = tick
    else this.enter(tick)
  }

  /** Later in this process, if it still lives then. */
  #later(delayMs: number, event: Waiting): void {
    const processes = this.#processes
    this.#around.later(delayMs, () => {
      if (processes === this.#processes) this.enter(event.run, event)
      else event.dropped?.()
    })
  }

  #slow<T>(value: T, delayMs: number): Promise<T> {
    this.#around.promisesMoved()
    return new Promise((resolve) => {
      const run = (): void => {
        this.#around.promisesMoved()
        resolve(value)
      }
      this.#later(this.#random.next() * delayMs, { run })
    })
  }

  #after(endsTurn: boolean): void {
    const isCurrent = endsTurn || !this.#turnScheduled
    this.#observe(isCurrent)
    if (this.#sendsLeft === undefined || this.#sendsLeft >= 0) return
    const dies = this.#dies
    this.#sendsLeft = undefined
    dies?.()
  }

  #observe(isCurrent: boolean): void {
    for (const [id, replica] of this.#replicas)
      replica.observe(isCurrent && !this.#held.has(id) && !replica.group.hasOutput)
  }

  /** Whatever belongs to the process is gone with it. */
  #end(): void {
    this.#processes++
    for (const replica of this.#replicas.values()) replica.close()
    this.#replicas = new Map()
    this.#turnScheduled = false
    this.#held = new Set()
    this.#taking = new Set()
    this.#pausedUntilMs = 0
    this.#missedTick = undefined
    const dropped = this.#backlog
    this.#backlog = []
    for (const waiting of dropped) waiting.dropped?.()
    this.#sendsLeft = undefined
    this.#dies = undefined
    this.#around.processEnded(this.id)
  }
}
