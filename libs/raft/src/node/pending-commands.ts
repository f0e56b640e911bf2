import { type Clock, invariant } from '@sluice/foundation'
import type { Term } from '../core/types.js'
import { CommandFailedError, type FailReason } from './errors.js'

/** What became of a command. `result` is what the state machine of this very node gave. */
export type CommandOutcome<Result> =
  | { readonly kind: 'applied'; readonly result: Result }
  | { readonly kind: 'failed'; readonly error: CommandFailedError }

/** A command of this node on its way to a leader. */
export interface OutgoingCommand {
  /** From 1, never used twice by one process of a node. */
  readonly sequence: number
  readonly payload: Uint8Array
}

interface Pending<Result> extends OutgoingCommand {
  readonly done: (outcome: CommandOutcome<Result>) => void
  readonly expiresAt: number
  /** 0 while it waits for a leader; else the only term in which it can be in the log. */
  term: Term
}

/**
 * The commands of this node that are not settled, and what is known of them.
 *
 *     add ──▶ waiting ──take(term)──▶ sent in a term ──▶ applied here                        → its result
 *                ▲                        │        ├──▶ a later term's entry applied here   → DISCARDED, no
 *                └──── refused by leader ─┘        └──▶ snapshot jumped over it, or too long → LEADER_CHANGED, unknown
 *
 * A command is given to the leader of one term only, which takes it in that term or refuses it; terms in
 * a log never decrease; so once an entry of a later term is applied, a command that was not seen before
 * it is in no log that counts and never will be. That makes DISCARDED certain without asking anybody.
 * Each command is settled exactly once.
 */
export class PendingCommands<Result> {
  readonly #clock: Clock
  readonly #bounds: { readonly countMax: number; readonly bytesMax: number; readonly waitMs: number }
  /** In the order they came, which is also that of their ends. */
  readonly #bySequence = new Map<number, Pending<Result>>()
  /** In the order in which they are to be sent. */
  #waiting = new Map<number, Pending<Result>>()
  #bytes = 0
  #nextSequence = 1
  #appliedTerm: Term = 0

  constructor(
    bounds: { readonly countMax: number; readonly bytesMax: number; readonly waitMs: number },
    clock: Clock,
  ) {
    this.#bounds = bounds
    this.#clock = clock
  }

  get count(): number {
    return this.#bySequence.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get hasWaiting(): boolean {
    return this.#waiting.size > 0
  }

  /**
   * Takes a command in. `done` is called exactly once, never before this returns, and must not throw.
   * @returns the command's sequence number, or `undefined` when the queue is full
   */
  add(payload: Uint8Array, done: (outcome: CommandOutcome<Result>) => void): number | undefined {
    const { countMax, bytesMax, waitMs } = this.#bounds
    if (this.#bySequence.size >= countMax || this.#bytes + payload.length > bytesMax) return undefined
    const sequence = this.#nextSequence++
    const expiresAt = this.#clock.monotonic() + waitMs
    const pending: Pending<Result> = { sequence, payload, done, expiresAt, term: 0 }
    this.#bySequence.set(sequence, pending)
    this.#waiting.set(sequence, pending)
    this.#bytes += payload.length
    return sequence
  }

  /** Hands out waiting commands for the leader of `term`: as many as fit, at least one when one waits. */
  take(
    term: Term,
    bounds: { readonly countMax: number; readonly bytesMax: number },
  ): readonly OutgoingCommand[] {
    invariant(term > 0, 'commands are sent in a term')
    const taken: Pending<Result>[] = []
    let bytes = 0
    for (const pending of this.#waiting.values()) {
      bytes += pending.payload.length
      if (taken.length > 0 && (bytes > bounds.bytesMax || taken.length >= bounds.countMax)) break
      taken.push(pending)
      this.#waiting.delete(pending.sequence)
      pending.term = term
    }
    return taken
  }

  /** The leader of the term took none of them and never will: they wait for the next leader, in their old order. */
  refused(commands: readonly OutgoingCommand[]): void {
    const waiting = [...this.#waiting.values()]
    for (const { sequence } of commands) {
      const pending = this.#bySequence.get(sequence)
      if (pending === undefined || pending.term === 0) continue
      pending.term = 0
      waiting.push(pending)
    }
    waiting.sort((a, b) => a.sequence - b.sequence)
    this.#waiting = new Map(waiting.map((pending) => [pending.sequence, pending]))
  }

  /** Settles commands that have no effect and never will. */
  fail(commands: readonly OutgoingCommand[], reason: FailReason): void {
    for (const { sequence } of commands) this.#fail(sequence, reason, 'no')
  }

  /** Everything that waits for a leader, settled without effect. */
  failWaiting(reason: FailReason): void {
    this.fail([...this.#waiting.values()], reason)
  }

  /** An entry of this term is applied here, after everything before it. */
  reachedTerm(term: Term): void {
    if (term <= this.#appliedTerm) return
    this.#appliedTerm = term
    for (const { sequence, term: sentIn } of [...this.#bySequence.values()])
      if (sentIn > 0 && sentIn < term) this.#fail(sequence, 'DISCARDED', 'no')
  }

  /** This node's own command was applied here. False when it is not waited for any more. */
  applied(sequence: number, result: Result): boolean {
    const pending = this.#remove(sequence)
    pending?.done({ kind: 'applied', result })
    return pending !== undefined
  }

  /** A snapshot whose last entry is of `term` replaced the state: what it holds of our commands cannot be seen. */
  skippedTo(term: Term): void {
    for (const { sequence, term: sentIn } of [...this.#bySequence.values()])
      if (sentIn > 0 && sentIn <= term) this.#fail(sequence, 'LEADER_CHANGED', 'unknown')
    this.#appliedTerm = Math.max(this.#appliedTerm, term)
  }

  /** Settles one command early, because its caller asks for that. */
  abort(sequence: number): void {
    const pending = this.#bySequence.get(sequence)
    if (pending !== undefined) this.#fail(sequence, 'ABORTED', pending.term === 0 ? 'no' : 'unknown')
  }

  /** Settles what has waited too long. */
  expire(): void {
    const now = this.#clock.monotonic()
    for (const { sequence, term, expiresAt } of this.#bySequence.values()) {
      if (expiresAt > now) return
      if (term === 0) this.#fail(sequence, 'MISSING_LEADER', 'no')
      else this.#fail(sequence, 'LEADER_CHANGED', 'unknown')
    }
  }

  /** The node ends: settles everything. */
  destroy(): void {
    for (const { sequence, term } of [...this.#bySequence.values()])
      this.#fail(sequence, 'DESTROYED', term === 0 ? 'no' : 'unknown')
  }

  #fail(sequence: number, reason: FailReason, outcome: 'no' | 'unknown'): void {
    this.#remove(sequence)?.done({ kind: 'failed', error: new CommandFailedError(reason, outcome) })
  }

  /** Takes it out before anything is told, so that it is told once. */
  #remove(sequence: number): Pending<Result> | undefined {
    const pending = this.#bySequence.get(sequence)
    if (pending === undefined) return undefined
    this.#bySequence.delete(sequence)
    this.#bytes -= pending.payload.length
    this.#waiting.delete(sequence)
    return pending
  }
}
