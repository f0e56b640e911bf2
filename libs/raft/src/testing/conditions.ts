import type { Random } from '@sluice/foundation'
import type { SyncTimes } from './sim-disk.js'
import type { NetworkFaults } from './sim-network.js'

/** What a run is like, drawn from its seed. */
export interface Conditions {
  readonly network: NetworkFaults
  readonly sync: SyncTimes
  /** Mean time between two faults, milliseconds. */
  readonly faultEveryMs: number
  readonly turnDelayMs: number
  readonly applyDelayMs: number
  /** Mean time between two proposals, milliseconds. */
  readonly proposeEveryMs: number
  readonly inflightMessagesMax: number
  readonly inflightBytesMax: number
  readonly appendBytesMax: number
  readonly uncommittedBytesMax: number
}

/** Some runs are calm and some are not; bounds are small so that they are reached. */
export function drawConditions(random: Random): Conditions {
  const lossy = random.below(2) === 0
  return {
    network: {
      delayMs: pick(random, [2, 10, 40]),
      lost: lossy ? random.next() * 0.2 : 0,
      doubled: lossy ? random.next() * 0.2 : 0,
      ordered: random.below(2) === 0,
    },
    sync: { syncMs: pick(random, [1, 5, 20]), slowPart: pick(random, [0, 0.02]) },
    faultEveryMs: pick(random, [60, 150, 400]),
    turnDelayMs: pick(random, [0, 1, 4]),
    applyDelayMs: pick(random, [0, 2, 20]),
    proposeEveryMs: pick(random, [4, 12, 40]),
    inflightMessagesMax: pick(random, [1, 3, 64]),
    inflightBytesMax: pick(random, [200, 2000]),
    appendBytesMax: pick(random, [1, 300, 2000]),
    uncommittedBytesMax: pick(random, [1000, 20_000]),
  }
}

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[random.below(choices.length)]!
}
