import { invariant, toError } from '@sluice/foundation'
import type { LogIndex } from '../core/types.js'
import type { GroupStorage } from '../storage/log-store.js'
import type { SnapshotSource, StateMachine } from './state-machine.js'

const READ_BYTES_MAX = 4 * 1024 * 1024

interface Range {
  readonly from: LogIndex
  readonly to: LogIndex
}

/** The group whose entries are applied. */
export interface ApplierOwner {
  readonly log: GroupStorage
  readonly machine: StateMachine
  appliedTo(index: LogIndex): void
  failed(error: Error): void
}

/**
 * Brings committed entries, and snapshots, to a state machine: one thing at a time, in order. A machine
 * that took a snapshot may be ahead of the ranges that follow; they are skipped as far as it has them.
 */
export class Applier {
  readonly #owner: ApplierOwner
  readonly #log: GroupStorage
  readonly #machine: StateMachine
  /** Handed out and not applied yet. */
  #range: Range | undefined
  #reading: Promise<void> | undefined
  #restoring = false
  /** The machine has everything up to here by a snapshot. */
  #restoredTo: LogIndex = 0
  #closed = false

  constructor(owner: ApplierOwner) {
    this.#owner = owner
    this.#log = owner.log
    this.#machine = owner.machine
  }

  /** Both ends included. */
  apply(from: LogIndex, to: LogIndex): void {
    invariant(this.#range === undefined, 'the next range comes after the last one is applied')
    this.#range = { from, to }
    if (!this.#restoring) this.#applyRange()
  }

  /** The machine takes the snapshot; ranges that come meanwhile wait for `resume`. */
  async restore(source: SnapshotSource): Promise<void> {
    invariant(!this.#restoring, 'one snapshot is taken at a time')
    invariant(this.#machine.restore !== undefined, 'a group that is sent snapshots can take them')
    this.#restoring = true
    const { index } = source.meta
    try {
      await this.#reading
      if (this.#closed) {
        await source.close()
        return
      }
      await this.#machine.restore(source)
      this.#restoredTo = index
    } catch (error) {
      // Part of the state may be replaced: nothing may be built on it.
      this.#owner.failed(toError(error))
      throw error
    }
  }

  get isRestoring(): boolean {
    return this.#restoring
  }

  resume(): void {
    if (!this.#restoring) return
    this.#restoring = false
    if (this.#range !== undefined) this.#applyRange()
  }

  close(): void {
    this.#closed = true
  }

  #applyRange(): void {
    const { to } = this.#range!
    const from = Math.max(this.#range!.from, this.#restoredTo + 1)
    if (from > to) {
      this.#done(to)
      return
    }
    const entries = this.#log.slice(from, to)
    if (entries === undefined) {
      this.#reading = this.#applyFromDisk(from, to)
      return
    }
    this.#machine.apply(entries)
    this.#done(to)
  }

  async #applyFromDisk(from: LogIndex, to: LogIndex): Promise<void> {
    try {
      let next = from
      while (next <= to) {
        const entries = await this.#log.read(next, to, READ_BYTES_MAX)
        if (this.#closed) return
        this.#machine.apply(entries)
        next += entries.length
      }
      this.#reading = undefined
      this.#done(to)
    } catch (error) {
      this.#owner.failed(toError(error))
    }
  }

  #done(index: LogIndex): void {
    this.#range = undefined
    this.#owner.appliedTo(index)
  }
}
