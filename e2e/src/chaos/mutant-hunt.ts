import { messageOf } from '@sluice/foundation'
import { ChaosRun } from './chaos-run.js'
import type { Mutant } from './mutant.js'
import { mutatedSources } from './mutant.js'
import { table } from './report.js'

const MINUTES_USUAL = 1
/** A bug that needs a certain moment may miss it: a run that finds nothing is followed by one with another seed. */
const RUNS_MAX = 3

interface HuntOptions {
  readonly seed: number
  /** Of each run; undefined for what is usual. */
  readonly minutes: number | undefined
  readonly stop: AbortSignal
}

interface Verdict {
  readonly mutant: Mutant
  readonly caught: boolean
  readonly by: string
  readonly seconds: number
}

/** Runs the suite with each mutant; the table says which check caught it, or that none did. */
export async function runMutants(
  mutants: readonly Mutant[],
  options: HuntOptions,
  say: (text: string) => void,
): Promise<{ readonly caughtAll: boolean; readonly text: string }> {
  // All texts are looked for first: a mutant that does not fit the code is known before an hour has gone.
  for (const mutant of mutants) mutatedSources(mutant)
  const verdicts: Verdict[] = []
  for (const mutant of mutants) {
    options.stop.throwIfAborted()
    const verdict = await hunt(mutant, options, say)
    verdicts.push(verdict)
    say(`${verdict.caught ? 'caught' : 'ESCAPED'}: ${mutant.id}, by ${verdict.by}`)
  }
  const rows = verdicts.map(({ mutant, caught, by, seconds }) => [
    mutant.id,
    mutant.bug,
    mutant.faults.join(', '),
    caught ? by : `**escaped**: ${by}`,
    seconds.toFixed(0),
  ])
  const count = verdicts.filter(({ caught }) => caught).length
  const text = `${table(['mutant', 'bug', 'faults', 'caught by', 'seconds'], rows)}\n\n${count} of ${verdicts.length} caught`
  return { caughtAll: count === verdicts.length, text }
}

async function hunt(mutant: Mutant, options: HuntOptions, say: (text: string) => void): Promise<Verdict> {
  const startedMs = performance.now()
  for (let run = 0; ; run++) {
    const verdict = await huntOnce(mutant, { ...options, seed: options.seed + run }, say)
    const seconds = (performance.now() - startedMs) / 1000
    if (verdict.caught || run + 1 === RUNS_MAX) return { ...verdict, seconds }
    options.stop.throwIfAborted()
    say(`${mutant.id} is not caught yet, ${verdict.by}: once more, with another seed`)
  }
}

async function huntOnce(
  mutant: Mutant,
  { seed, minutes, stop }: HuntOptions,
  say: (text: string) => void,
): Promise<Omit<Verdict, 'seconds'>> {
  try {
    const { violations } = await new ChaosRun(
      {
        minutes: minutes ?? MINUTES_USUAL,
        seed,
        brokers: 3,
        faults: mutant.faults.join(','),
        mutant: mutant.id,
      },
      say,
      stop,
    ).run()
    for (const { check, detail } of violations) say(`${check}: ${detail.slice(0, 200)}`)
    const checks = [...new Set(violations.map(({ check }) => check))]
    const expected = checks.filter((check) => mutant.caughtBy.includes(check))
    if (expected.length > 0) return { mutant, caught: true, by: expected.join(', ') }
    const by = checks.length === 0 ? 'no check failed' : `only ${checks.join(', ')} failed`
    return { mutant, caught: false, by }
  } catch (error) {
    return { mutant, caught: false, by: `the run ended: ${messageOf(error)}` }
  }
}
