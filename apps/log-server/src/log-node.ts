import type { Random } from '@sluice/foundation'
import {
  type NodeId,
  RaftDecodeError,
  type RaftGroup,
  type RaftGroupId,
  RaftHost,
  type TurnScheduler,
  VolatileStore,
} from '@sluice/raft'
import { CommandKind, decodeCommand, encodeCommand, type EntryId, entryId } from './log-command.js'
import { type Decision, LogMachine } from './log-machine.js'

/** What a PUT comes to: `refused` and `withdrawn` leave no trace in any log. */
export type PutOutcome = Decision | 'refused'

export interface LogNodeOptions {
  readonly nodeId: number
  readonly nodeCount: number
  readonly groupUuid: Uint8Array
  /** 8 random bytes, new with every start. */
  readonly boot: Uint8Array
  readonly random: Random
  readonly scheduler: TurnScheduler
  readonly send: (peer: number, frame: Uint8Array) => void
  readonly onFatal: (error: Error) => void
}

/** Length of a tick, milliseconds. */
export const TICK_MS = 20
const ELECTION_TICKS = 12
const HEARTBEAT_TICKS = 2
/** An entry that is not decided is sent to the leader again after this. */
const RESEND_TICKS = 10
/** After this a withdrawal is asked for: a client of ours gives up 5 seconds after its last byte. */
const WITHDRAW_TICKS = 4000 / TICK_MS
/** So long a node that is told to crash, or to exit, tries to learn of everything that is committed. */
const CATCH_UP_TICKS = 2000 / TICK_MS
const PENDING_MAX = 10_000
/** Of all bodies in the log. */
const LOG_BYTES_MAX = 1024 ** 3
const GROUP = 1 as RaftGroupId
/** First byte of a frame that holds a command for the leader; Raft's own frames start below 16. */
const SUBMIT = 0xa0

interface PendingPut {
  readonly id: EntryId
  readonly body: Uint8Array
  readonly done: (outcome: PutOutcome) => void
  ageTicks: number
  sentTicks: number
}

/**
 * One node of the log, without sockets and timers: frames come and go through `send` and `receive`, time
 * through `tick`. A crash is played: nothing comes in, nothing goes out and no time passes until recovery.
 */
export class LogNode {
  readonly #options: LogNodeOptions
  readonly #host: RaftHost
  readonly #group: RaftGroup
  readonly #machine: LogMachine
  readonly #pending = new Map<EntryId, PendingPut>()
  /** Crashes and recoveries in the order they were asked for; the first is under way. */
  readonly #controls: (() => void)[] = []
  #barrier: { done: () => void; ticksLeft: number; isAsked: boolean } | undefined
  /** Called once nothing is pending. */
  #whenDecided: (() => void) | undefined
  #isClosing = false
  #isCrashed = false
  #lastNumber = 0

  constructor(options: LogNodeOptions) {
    this.#options = options
    this.#host = new RaftHost({
      nodeId: options.nodeId as NodeId,
      store: new VolatileStore((run) => options.scheduler.soon(run)),
      transport: { send: (peer, frame) => this.#send(peer, frame) },
      random: options.random,
      timings: {
        tickMs: TICK_MS,
        electionTicks: ELECTION_TICKS,
        heartbeatTicks: HEARTBEAT_TICKS,
        quiesceTicks: 0,
      },
      scheduler: options.scheduler,
      onFatal: options.onFatal,
    })
    this.#machine = new LogMachine({
      onDecided: (id, decision) => this.#decided(id, decision),
      onState: ({ leader }) => {
        if (leader !== 0) for (const put of this.#pending.values()) this.#submit(put)
      },
    })
    this.#group = this.#host.openGroup({
      id: GROUP,
      uuid: options.groupUuid,
      name: 'log',
      voters: Array.from({ length: options.nodeCount }, (_, i) => (i + 1) as NodeId),
      applied: 0,
      machine: this.#machine,
    })
  }

  get isCrashed(): boolean {
    return this.#isCrashed
  }

  get entries(): readonly Uint8Array[] {
    return this.#machine.entries
  }

  get status(): {
    readonly node: number
    readonly role: number
    readonly term: number
    readonly leader: number
    readonly commitIndex: number
    readonly logLength: number
    readonly crashed: boolean
  } {
    const { role, term, leader } = this.#group.state
    return {
      node: this.#options.nodeId,
      role,
      term,
      leader,
      commitIndex: this.#group.commit,
      logLength: this.#machine.entries.length,
      crashed: this.#isCrashed,
    }
  }

  /**
   * `done` is called once it is certain that the entry is in the log, or that it never will be.
   * @returns to be called when nobody waits for the answer any more: the entry is withdrawn, if it still can be
   */
  put(body: Uint8Array, done: (outcome: PutOutcome) => void): () => void {
    const isFull = this.#pending.size >= PENDING_MAX || this.#machine.sizeBytes + body.length > LOG_BYTES_MAX
    if (this.#isCrashed || this.#isClosing || isFull) {
      done('refused')
      return () => undefined
    }
    this.#lastNumber++
    const { nodeId, boot } = this.#options
    const put = { id: entryId(nodeId, boot, this.#lastNumber), body, done, ageTicks: 0, sentTicks: 0 }
    this.#pending.set(put.id, put)
    this.#submit(put)
    return () => {
      if (!this.#pending.has(put.id)) return
      put.ageTicks = Math.max(put.ageTicks, WITHDRAW_TICKS)
      this.#submit(put)
    }
  }

  /**
   * Crashes once every PUT that came before is decided, and, if there is a leader, everything that was
   * committed before is known here: a node that does not come back must not lack what a client was told.
   */
  crash(done: () => void): void {
    this.#isClosing = true
    this.#control(() => {
      if (this.#isCrashed) {
        this.#controlDone(done)
        return
      }
      this.#afterDecided(() =>
        this.#catchUp(() => {
          this.#isCrashed = true
          this.#controlDone(done)
        }),
      )
    })
  }

  recover(done: () => void): void {
    this.#control(() => {
      this.#isCrashed = false
      this.#controlDone(done)
    })
  }

  /** Calls back when the log here is as complete as it can be: at once on a crashed node. */
  finish(done: () => void): void {
    this.#control(() => {
      this.#isClosing = true
      const finished = (): void => {
        this.#controls.shift()
        done()
      }
      if (this.#isCrashed) finished()
      else this.#afterDecided(() => this.#catchUp(finished))
    })
  }

  /** A peer's frame. One that makes no sense is dropped. */
  receive(from: number, frame: Uint8Array): void {
    if (this.#isCrashed) return
    if (frame[0] === SUBMIT) {
      const command = frame.subarray(1)
      if (decodeCommand(command) !== undefined) this.#group.propose([command])
      return
    }
    try {
      this.#host.receive(from as NodeId, frame)
    } catch (error) {
      if (!(error instanceof RaftDecodeError)) throw error
    }
  }

  peerDown(peer: number): void {
    if (!this.#isCrashed) this.#host.peerDown(peer as NodeId)
  }

  tick(): void {
    if (this.#isCrashed) return
    this.#host.tick()
    for (const put of this.#pending.values()) {
      put.ageTicks++
      if (put.ageTicks - put.sentTicks >= RESEND_TICKS) this.#submit(put)
    }
    this.#tickBarrier()
  }

  close(): void {
    this.#host.stop()
  }

  #send(peer: number, frame: Uint8Array): boolean {
    if (this.#isCrashed) return false
    this.#options.send(peer, frame)
    return true
  }

  /** Asks the leader, whoever that is, for a decision. Asking twice does no harm. */
  #submit(put: PendingPut): void {
    put.sentTicks = put.ageTicks
    const isLate = put.ageTicks >= WITHDRAW_TICKS
    const command = isLate
      ? encodeCommand(CommandKind.WITHDRAW, put.id)
      : encodeCommand(CommandKind.STORE, put.id, put.body)
    const { leader } = this.#group.state
    if (this.#group.isLeader) {
      this.#group.propose([command])
    } else if (leader !== 0) {
      const frame = new Uint8Array(1 + command.length)
      frame[0] = SUBMIT
      frame.set(command, 1)
      this.#send(leader, frame)
    }
  }

  #decided(id: EntryId, decision: Decision): void {
    const put = this.#pending.get(id)
    if (put === undefined) return
    this.#pending.delete(id)
    put.done(decision)
    if (this.#pending.size > 0) return
    const next = this.#whenDecided
    this.#whenDecided = undefined
    next?.()
  }

  #afterDecided(run: () => void): void {
    if (this.#pending.size === 0) run()
    else this.#whenDecided = run
  }

  #catchUp(done: () => void): void {
    this.#barrier = { done, ticksLeft: CATCH_UP_TICKS, isAsked: false }
    this.#askBarrier()
  }

  #tickBarrier(): void {
    const barrier = this.#barrier
    if (barrier === undefined) return
    if (--barrier.ticksLeft <= 0) this.#endBarrier(barrier)
    else if (!barrier.isAsked) this.#askBarrier()
  }

  #askBarrier(): void {
    const barrier = this.#barrier
    if (barrier === undefined) return
    barrier.isAsked = true
    this.#group.readIndex(({ kind }) => {
      if (kind === 'ready') this.#endBarrier(barrier)
      else barrier.isAsked = false
    })
  }

  #endBarrier(barrier: { readonly done: () => void }): void {
    if (this.#barrier !== barrier) return
    this.#barrier = undefined
    barrier.done()
  }

  #control(run: () => void): void {
    this.#controls.push(run)
    if (this.#controls.length === 1) run()
  }

  #controlDone(done: () => void): void {
    this.#controls.shift()
    this.#isClosing = this.#isCrashed || this.#controls.length > 0
    done()
    this.#controls[0]?.()
  }
}
