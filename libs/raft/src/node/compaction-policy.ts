import type { Clock } from '@sluice/foundation'
import type { LogIndex, NodeId } from '../core/types.js'

export interface CompactionRules {
  readonly minEntries: number
  readonly minMs: number
  /** Each node in its own window of time. */
  readonly split: boolean
}

/** Part of its slot in which a node may start to compact; the rest is for finishing before the next one. */
const WINDOW = 0.3
/** A log this many times over `minEntries` is compacted in anybody's window, so that it has a bound. */
const OVERFULL = 4
/** After a failure, which is mostly a disk without space. */
const RETRY_MS = 10_000

/** When a node makes a snapshot and drops the log before it. */
export class CompactionPolicy {
  readonly #rules: CompactionRules
  readonly #clock: Clock
  #lastAt: number
  #forced = false
  #notBefore = 0

  constructor(rules: CompactionRules, clock: Clock) {
    this.#rules = rules
    this.#clock = clock
    this.#lastAt = clock.monotonic()
  }

  /** The next question is answered with yes, if there is an entry to compact. */
  force(): void {
    this.#forced = true
  }

  /**
   * @param log.entryCount applied entries that are still in the log
   * @param log.members all nodes that compact the same log; empty or without `self` when unknown
   */
  isDue(log: {
    readonly entryCount: number
    readonly self: NodeId
    readonly members: readonly NodeId[]
  }): boolean {
    const { minEntries, minMs, split } = this.#rules
    if (log.entryCount === 0) {
      this.#forced = false
      return false
    }
    if (this.#forced) return true
    if (this.#clock.monotonic() < this.#notBefore) return false
    const isOld = this.#clock.monotonic() - this.#lastAt >= minMs
    if (log.entryCount < minEntries && !isOld) return false
    if (!split || log.entryCount >= OVERFULL * minEntries) return true
    return isInWindow(this.#clock.now(), { periodMs: minMs, self: log.self, members: log.members })
  }

  /**
   * How far the log may go once a snapshot has everything up to `snapshotIndex`: all of it, unless a
   * member is behind; then half of `minEntries` stay, because a few entries cost it less than a snapshot.
   */
  dropTo(log: { readonly snapshotIndex: LogIndex; readonly heldByAll: LogIndex }): LogIndex {
    const { snapshotIndex, heldByAll } = log
    const kept = Math.floor(this.#rules.minEntries / 2)
    return Math.min(snapshotIndex, Math.max(heldByAll, snapshotIndex - kept))
  }

  /** A snapshot is being made. */
  done(): void {
    this.#forced = false
    this.#lastAt = this.#clock.monotonic()
  }

  /** A snapshot could not be made: the next attempt has time. */
  failed(): void {
    this.#notBefore = this.#clock.monotonic() + RETRY_MS
  }
}

/** A period is cut into a slot for each node, in the order of their ids; the window is where a slot begins. */
function isInWindow(
  nowMs: number,
  share: { readonly periodMs: number; readonly self: NodeId; readonly members: readonly NodeId[] },
): boolean {
  const order = [...share.members].sort((a, b) => a - b)
  const position = order.indexOf(share.self)
  if (position < 0) return true
  const slotMs = share.periodMs / order.length
  const sinceSlotMs = (nowMs % share.periodMs) - position * slotMs
  return sinceSlotMs >= 0 && sinceSlotMs < WINDOW * slotMs
}
