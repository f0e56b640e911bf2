import type { Entry, LogIndex, SnapshotMeta, Term } from '../core/types.js'
import type { SnapshotSource } from '../host/state-machine.js'
import { commandOf, fingerprint } from './invariants/fingerprint.js'

/** Registers of a group. */
export const KEYS = 4

export interface RegisterValue {
  /** Of the call that wrote it; 0 when none did. */
  readonly serial: number
  /** Where that stands in the log. */
  readonly index: LogIndex
}

const EMPTY: RegisterValue = { serial: 0, index: 0 }
const HEAD_NUMBERS = 3

/** What a machine of the simulation holds: a few registers, and a hash over all entries that were applied. */
export class SimState {
  applied: LogIndex = 0
  appliedTerm: Term = 0
  hash = 0
  readonly #registers: RegisterValue[] = Array.from({ length: KEYS }, () => EMPTY)

  register(key: number): RegisterValue {
    return this.#registers[key]!
  }

  /** Returns what stood in the command's register before. */
  apply(entry: Entry): number {
    this.applied = entry.index
    this.appliedTerm = entry.term
    this.hash = (Math.imul(this.hash ^ fingerprint(entry), 0x01000193) ^ (this.hash >>> 13)) >>> 0
    const command = commandOf(entry)
    if (command === undefined) return 0
    const { key, serial, isSwap, expected } = command
    const previous = this.#registers[key]!.serial
    if (!isSwap || previous === expected) this.#registers[key] = { serial, index: entry.index }
    return previous
  }

  copy(): SimState {
    const copy = new SimState()
    copy.#take(this)
    return copy
  }

  #take(other: SimState): void {
    this.applied = other.applied
    this.appliedTerm = other.appliedTerm
    this.hash = other.hash
    other.#registers.forEach((value, key) => (this.#registers[key] = value))
  }

  encode(): Uint8Array {
    const numbers = [this.applied, this.appliedTerm, this.hash]
    for (const { serial, index } of this.#registers) numbers.push(serial, index)
    return new Uint8Array(Float64Array.from(numbers).buffer)
  }

  static decode(bytes: Uint8Array): SimState {
    const numbers = new Float64Array(bytes.slice().buffer)
    const state = new SimState()
    state.applied = numbers[0]!
    state.appliedTerm = numbers[1]!
    state.hash = numbers[2]!
    for (let key = 0; key < KEYS; key++) {
      const at = HEAD_NUMBERS + 2 * key
      state.#registers[key] = { serial: numbers[at]!, index: numbers[at + 1]! }
    }
    return state
  }
}

/** A finished snapshot in memory. */
export class SimSnapshot implements SnapshotSource {
  readonly meta: SnapshotMeta
  readonly #bytes: Uint8Array

  constructor(meta: SnapshotMeta, bytes: Uint8Array) {
    this.meta = meta
    this.#bytes = bytes
  }

  get sizeBytes(): number {
    return this.#bytes.length
  }

  get state(): SimState {
    return SimState.decode(this.#bytes)
  }

  read(offset: number, lengthMax: number): Promise<Uint8Array> {
    return Promise.resolve(this.#bytes.subarray(offset, offset + lengthMax))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
