import type { Random } from '@sluice/foundation'

/** Chance as a scenario wants it: every draw gives the same, as far as its bound allows. */
export class ScriptedRandom implements Random {
  value: number

  constructor(value: number) {
    this.value = value
  }

  next(): number {
    return 0
  }

  below(bound: number): number {
    return Math.min(this.value, bound - 1)
  }
}
