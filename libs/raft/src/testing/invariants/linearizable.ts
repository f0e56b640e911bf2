import type { Entry, LogIndex } from '../../core/types.js'
import type { Call } from '../call.js'
import { checkRegister } from '../linearizability.js'
import { commandOf } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** One register, as the log alone says it must be: each change and where it stands. */
interface Register {
  readonly changes: { readonly index: LogIndex; readonly serial: number }[]
}

/**
 * I15. Raft paper §8, "each operation appears to execute instantaneously, exactly once, at some point
 * between its invocation and its response". Every call is held against the log: what it answered is
 * what stands there, no earlier than anything that was answered before it began, and nothing is read that
 * nobody wrote. In the end the calls of each register are held against themselves alone, too.
 */
export function linearizable(): InvariantCheck {
  const registers = new Map<number, Register>()
  const previousAt: number[] = []
  const calls: Call[] = []
  const invoked = new Set<number>()
  const floors = new Map<number, LogIndex>()
  let answeredIndex: LogIndex = 0
  let replayedTo: LogIndex = 0

  function registerOf(key: number): Register {
    let register = registers.get(key)
    if (register === undefined) {
      register = { changes: [] }
      registers.set(key, register)
    }
    return register
  }

  /** The machine that all machines must be like. */
  function replay(entry: Entry): void {
    if (entry.index !== replayedTo + 1) return
    replayedTo = entry.index
    const command = commandOf(entry)
    if (command === undefined) return
    const { serial, key, isSwap, expected } = command
    holds(invoked.has(serial), 'nothing is done that nobody asked for', () => `${serial} at ${entry.index}`)
    const { changes } = registerOf(key)
    const previous = changes.at(-1)?.serial ?? 0
    previousAt[entry.index] = previous
    if (!isSwap || previous === expected) changes.push({ index: entry.index, serial })
  }

  function checkRead({ key, serial, previous, index, applied }: Call): void {
    const { changes } = registerOf(key)
    let at = changes.length - 1
    while (at >= 0 && changes[at]!.index > applied) at--
    const expected = changes[at] ?? { index: 0, serial: 0 }
    holds(
      expected.serial === previous && expected.index === index,
      'a read gives what the log says',
      () => `${serial} of ${key} at ${applied}: ${previous} in place of ${expected.serial}`,
    )
  }

  return {
    invoked(call) {
      calls.push(call)
      invoked.add(call.serial)
      floors.set(call.serial, answeredIndex)
    },
    applied(_replica, entry) {
      replay(entry)
    },
    answered(call) {
      if (call.outcome !== 'done') return
      const { serial, kind, index, previous, applied } = call
      const floor = floors.get(serial) ?? 0
      if (kind === 'read') {
        holds(applied >= floor, 'reads are fresh', () => `${serial} at ${applied} after ${floor}`)
        checkRead(call)
      } else {
        holds(index > floor, 'what begins later stands later', () => `${serial} at ${index} after ${floor}`)
        holds(
          previousAt[index] === previous,
          'a write finds what the log says',
          () => `${serial} at ${index}: ${previous} in place of ${previousAt[index] ?? -1}`,
        )
      }
      answeredIndex = Math.max(answeredIndex, index)
    },
    converged() {
      const byKey = new Map<number, Call[]>()
      for (const call of calls) {
        const others = byKey.get(call.key)
        if (others === undefined) byKey.set(call.key, [call])
        else others.push(call)
      }
      for (const [key, callsOfKey] of byKey)
        holds(checkRegister(callsOfKey) !== 'violated', 'linearizable', () => `register ${key}`)
    },
  }
}
