import { type Clock, systemClock } from '@sluice/foundation'
import { addCounts, noCounts, type RunCounts } from './run-counts.js'
import type { RunOutcome, RunRequest, SimRunner } from './sim-runner.js'

export interface CampaignOptions {
  /** The first seed; each run has the next. */
  readonly seed: number
  readonly runCount: number
  /** No run begins after this. Milliseconds from the start; infinite: all of them do. */
  readonly durationMs: number
  /** Other runs go on when one has failed. */
  readonly keepsGoing: boolean
  /** What each run is like. */
  readonly request: Omit<RunRequest, 'seed'>
  readonly runners: readonly SimRunner[]
  readonly clock?: Clock
  readonly onRun?: (run: CampaignRun, campaign: CampaignReport) => void
}

export interface CampaignRun {
  /** From 1. */
  readonly number: number
  readonly seed: number
  readonly outcome: RunOutcome
}

export interface CampaignReport {
  readonly runs: number
  readonly failures: readonly CampaignRun[]
  /** Of the runs that survived. */
  readonly counts: RunCounts
  readonly elapsedMs: number
}

/** Many runs, on as many runners as there are. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { seed, runCount, durationMs, keepsGoing, request, runners, clock = systemClock, onRun } = options
  const startedAt = clock.monotonic()
  const counts = noCounts()
  const failures: CampaignRun[] = []
  let begun = 0
  let runs = 0
  const report = (): CampaignReport => ({ runs, failures, counts, elapsedMs: clock.monotonic() - startedAt })
  const goesOn = (): boolean =>
    begun < runCount &&
    (keepsGoing || failures.length === 0) &&
    (begun === 0 || clock.monotonic() - startedAt < durationMs)
  const work = async (runner: SimRunner): Promise<void> => {
    while (goesOn()) {
      const number = ++begun
      const run = { number, seed: seed + number - 1 }
      const outcome = await runner.run({ ...request, seed: run.seed })
      runs++
      if (outcome.kind === 'survived') addCounts(counts, outcome.counts)
      else failures.push({ ...run, outcome })
      onRun?.({ ...run, outcome }, report())
    }
  }
  await Promise.all(runners.map(work))
  return report()
}
