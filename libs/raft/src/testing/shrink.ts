import { type Conditions, simplerConditions } from './conditions.js'
import type { Decision } from './decision.js'
import type { SimScript } from './sim-script.js'

export interface ShrinkOptions {
  /** Runs a script; resolves with the law that broke, or `undefined` when none did. */
  readonly run: (script: SimScript) => Promise<string | undefined>
  /** Must break in the end, too: another one may be another mistake. */
  readonly law: string
  /** When to be content with what there is. */
  readonly isOver: () => boolean
}

/**
 * A script of as few decisions as can be found that breaks the same law: the end is cut off, whole kinds and
 * groups are left out, conditions are made simpler, and then halves, quarters and so on of what is
 * left are left out as long as it still breaks (delta debugging: Zeller and Hildebrandt 2002).
 */
export async function shrink(script: SimScript, options: ShrinkOptions): Promise<SimScript> {
  const breaks = async (candidate: SimScript): Promise<boolean> =>
    !options.isOver() && (await options.run(candidate)) === options.law
  let best = script
  const keep = async (candidate: SimScript): Promise<boolean> => {
    if (!(await breaks(candidate))) return false
    best = candidate
    return true
  }
  for (let before = -1; before !== sizeOf(best) && !options.isOver();) {
    before = sizeOf(best)
    await dropKinds(() => best, keep)
    await dropChunks(() => best, keep)
    await simplify(() => best, keep)
    await healEarlier(() => best, keep)
  }
  return best
}

type Keep = (candidate: SimScript) => Promise<boolean>

function sizeOf({ decisions, conditions, healAtMs }: SimScript): number {
  return decisions.length + JSON.stringify(conditions).length / 1000 + healAtMs / 1e6
}

async function dropKinds(best: () => SimScript, keep: Keep): Promise<void> {
  const kinds = new Set(best().decisions.map(({ kind }) => kind))
  for (const kind of kinds) await keepWithout(best(), keep, (decision) => decision.kind === kind)
  for (let group = best().groupCount; group > 0; group--)
    await keepWithout(best(), keep, (decision) => 'group' in decision && decision.group === group)
  // The last groups may not be needed at all.
  while (best().groupCount > 1) {
    const { groupCount } = best()
    const decisions = best().decisions.filter((d) => !('group' in d) || d.group < groupCount)
    if (!(await keep({ ...best(), groupCount: groupCount - 1, decisions }))) break
  }
}

async function keepWithout(
  script: SimScript,
  keep: Keep,
  isDropped: (decision: Decision) => boolean,
): Promise<boolean> {
  const decisions = script.decisions.filter((decision) => !isDropped(decision))
  return decisions.length < script.decisions.length && keep({ ...script, decisions })
}

/** Halves, then quarters, down to single decisions. */
async function dropChunks(best: () => SimScript, keep: Keep): Promise<void> {
  for (let size = best().decisions.length >> 1; size >= 1; size >>= 1)
    // From the end: what comes late depends on what came before, not the other way round.
    for (let start = best().decisions.length - size; start > -size; start -= size) {
      const { decisions } = best()
      const left = decisions.filter((_, i) => i < start || i >= start + size)
      if (left.length < decisions.length) await keep({ ...best(), decisions: left })
    }
}

async function simplify(best: () => SimScript, keep: Keep): Promise<void> {
  const count = simplerConditions(best().conditions).length
  for (let i = 0; i < count; i++) {
    const conditions = simplerConditions(best().conditions)[i]!
    if (!isSame(conditions, best().conditions)) await keep({ ...best(), conditions })
  }
  const { weights } = best().conditions
  // With a script nobody draws by weight.
  if (Object.keys(weights).length > 0)
    await keep({ ...best(), conditions: { ...best().conditions, weights: {} } })
}

/** Nothing is decided after the last decision: the end of the faults may follow it. */
async function healEarlier(best: () => SimScript, keep: Keep): Promise<void> {
  const last = best().decisions.at(-1)?.atMs ?? 0
  for (const healAtMs of [last + 1, last + 100, last + 500])
    if (healAtMs < best().healAtMs && (await keep({ ...best(), healAtMs }))) return
}

function isSame(a: Conditions, b: Conditions): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
