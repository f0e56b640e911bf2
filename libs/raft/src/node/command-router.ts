import { type Clock, toError, unreachable } from '@sluice/foundation'
import { type NodeId, Role, type Term } from '../core/types.js'
import type { RaftGroup } from '../host/raft-group.js'
import { decodeForwarded, encodeEnvelope, encodeForwarded, EnvelopeError, U48 } from './command-envelope.js'
import { TransportError } from '../transport/transport-error.js'
import type { OutgoingCommand, PendingCommands } from './pending-commands.js'

/** A leader's answer to forwarded commands: all of them are in its log, or none ever will be. */
const ForwardAnswer = { TAKEN: 0, NOT_LEADER: 1, OVERLOADED: 2, TRANSFERRING: 3 } as const
type ForwardAnswer = (typeof ForwardAnswer)[keyof typeof ForwardAnswer]

interface RouterRules {
  /** Commands of one turn travel together. */
  readonly batching: boolean
  readonly batchBytesMax: number
  readonly waitLeader: boolean
  readonly forwardTimeoutMs: number
}

export interface RouterParts {
  readonly group: RaftGroup
  readonly pending: PendingCommands<unknown>
  readonly rules: RouterRules
  readonly clock: Clock
  /** Of this process, below 2^48. */
  readonly instance: number
  /** Sends forwarded commands to a node and gives its answer. */
  readonly forward: (to: NodeId, bytes: Uint8Array, timeoutMs: number) => Promise<Uint8Array>
  readonly isConnected: (peer: NodeId) => boolean
  readonly soon: (run: () => void) => void
  readonly failed: (error: Error) => void
}

const BATCH_COUNT_MAX = 10_000
/** Forwarded batches that are not answered; what comes meanwhile waits and travels together. */
const FORWARDS_MAX = 8

/**
 * Brings this node's commands to whoever leads: into the own log, or to the leader over the network; and
 * takes in what other nodes forward. Nothing is sent twice unless the first leader certainly did not take it.
 */
export class CommandRouter {
  readonly #parts: RouterParts
  #scheduled = false
  #forwards = 0
  /** The leader of the term refused: nothing is sent before something changes or a tick is over. */
  #paused = false
  #lastTimeMs = 0
  #closed = false

  constructor(parts: RouterParts) {
    this.#parts = parts
  }

  /** There is a new command. */
  wanted(): void {
    if (!this.#parts.rules.batching) {
      this.#pump()
      return
    }
    if (this.#scheduled) return
    this.#scheduled = true
    this.#parts.soon(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  /** The leader may be another, or a tick is over. */
  changed(): void {
    this.#paused = false
    if (this.#parts.pending.hasWaiting) this.#pump()
  }

  /** A command with this time was applied: later ones get no earlier one. */
  observedTime(timeMs: number): void {
    if (timeMs > this.#lastTimeMs) this.#lastTimeMs = timeMs
  }

  close(): void {
    this.#closed = true
  }

  /**
   * Commands of another node, for the log of this one.
   * @throws EnvelopeError when the bytes are none
   */
  receive(bytes: Uint8Array): Uint8Array {
    const { instance, term, commands } = decodeForwarded(bytes)
    return Uint8Array.of(this.#append(instance, term, commands))
  }

  #pump(): void {
    const { pending, group, rules } = this.#parts
    while (pending.hasWaiting && !this.#paused && !this.#closed) {
      const { role, term, leader } = group.state
      if (role === Role.LEADER) this.#appendOwn(term)
      else if (leader !== 0 && this.#parts.isConnected(leader)) {
        if (this.#forwards >= FORWARDS_MAX) return
        void this.#forwardTo(leader, term)
      } else {
        if (!rules.waitLeader) pending.failWaiting('MISSING_LEADER')
        return
      }
    }
  }

  #take(term: Term): readonly OutgoingCommand[] {
    const { batching, batchBytesMax } = this.#parts.rules
    const countMax = batching ? BATCH_COUNT_MAX : 1
    return this.#parts.pending.take(term, { countMax, bytesMax: batchBytesMax })
  }

  #appendOwn(term: Term): void {
    const commands = this.#take(term)
    this.#answered(commands, this.#append(this.#parts.instance, term, commands))
  }

  async #forwardTo(leader: NodeId, term: Term): Promise<void> {
    const { instance, rules, forward } = this.#parts
    const commands = this.#take(term)
    this.#forwards += 1
    try {
      const answer = await forward(
        leader,
        encodeForwarded({ instance, term, commands }),
        rules.forwardTimeoutMs,
      )
      if (!this.#closed) this.#answered(commands, checkedAnswer(answer))
    } catch (error) {
      // Otherwise, whether it was taken shows in the log, or never does: pending commands have a deadline.
      if (error instanceof TransportError && error.outcome === 'no')
        this.#answered(commands, ForwardAnswer.NOT_LEADER)
    } finally {
      this.#forwards -= 1
    }
    try {
      if (!this.#closed) this.#pump()
    } catch (error) {
      this.#parts.failed(toError(error))
    }
  }

  #answered(commands: readonly OutgoingCommand[], answer: ForwardAnswer): void {
    const { pending, rules } = this.#parts
    switch (answer) {
      case ForwardAnswer.TAKEN:
        return
      case ForwardAnswer.OVERLOADED:
        pending.fail(commands, 'QUEUE_FULL')
        return
      case ForwardAnswer.NOT_LEADER:
      case ForwardAnswer.TRANSFERRING:
        this.#paused = true
        if (rules.waitLeader) pending.refused(commands)
        else pending.fail(commands, 'NOT_LEADER')
        return
      default:
        unreachable(answer)
    }
  }

  /** The leader's part: only in the very term that the sender knew may its commands enter the log. */
  #append(instance: number, term: Term, commands: readonly OutgoingCommand[]): ForwardAnswer {
    const { group, clock } = this.#parts
    if (!group.isLeader || group.state.term !== term || this.#closed) return ForwardAnswer.NOT_LEADER
    if (commands.length === 0) return ForwardAnswer.TAKEN
    const timeMs = Math.min(Math.max(Math.floor(clock.now()), this.#lastTimeMs), U48 - 1)
    const outcome = group.propose(
      commands.map(({ sequence, payload }) => encodeEnvelope({ instance, sequence, timeMs, payload })),
    )
    switch (outcome.kind) {
      case 'accepted':
        this.#lastTimeMs = timeMs
        return ForwardAnswer.TAKEN
      case 'not-leader':
        return ForwardAnswer.NOT_LEADER
      case 'overloaded':
        return ForwardAnswer.OVERLOADED
      case 'transferring':
        return ForwardAnswer.TRANSFERRING
      default:
        return unreachable(outcome)
    }
  }
}

const ANSWERS: ReadonlySet<unknown> = new Set(Object.values(ForwardAnswer))

function checkedAnswer(bytes: Uint8Array): ForwardAnswer {
  const answer = bytes[0]
  if (bytes.length !== 1 || !ANSWERS.has(answer)) throw new EnvelopeError('no answer to forwarded commands')
  return answer as ForwardAnswer
}
