import { expect } from '@jest/globals'
import type { Wal } from '../src/wal/wal.js'
import type { WalOptions } from '../src/wal/wal-options.js'
import { describeWal, WalBench } from './wal-fixture.js'
import type { SimulatedDisk } from './wal-simulated-disk.js'

const bench = new WalBench()

/** What was done to a log that crashes. */
export interface Run {
  /** What the log says after each operation, as JSON; before the first one there is nothing. */
  readonly states: string[]
  /** Every state from here on is allowed: this one was acknowledged. */
  acknowledged: number
  /** Acknowledgements, in order. */
  readonly order: number[]
}

export async function stateOf(wal: Wal): Promise<string> {
  return JSON.stringify(await describeWal(wal))
}

/** Whatever survived is the state after one of the operations, and not an older one than was acknowledged. */
export async function checkSurvivors(
  crashed: SimulatedDisk,
  run: Run,
  options: Partial<WalOptions> = {},
): Promise<void> {
  const state = await stateOf(await bench.openOn(crashed, options))
  expect(run.states.lastIndexOf(state)).toBeGreaterThanOrEqual(run.acknowledged)
  // What was found once is there for good: the next crash does not take it back.
  expect(await stateOf(await bench.openOn(crashed.crashed(), options))).toBe(state)
}
