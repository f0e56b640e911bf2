import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { messageOf, systemClock } from '@sluice/foundation'
import { type Sabotage, SABOTAGES } from './sabotage.js'
import { type CampaignReport, type CampaignRun, runCampaign } from './sim-campaign.js'
import { localRunner, ProcessRunner } from './sim-runner.js'
import { parseScript } from './sim-script.js'

const USAGE = `usage: npm run sim -w libs/raft -- [options]

Runs clusters in virtual time, with everything that can break, and checks every law after every event.
  --runs N       runs, each with the next seed (default 100, or no end with --minutes)
  --seed S       the first seed (default 1)
  --nodes N      nodes of each cluster (default 5)
  --groups N     Raft groups, all on the same nodes and disks (default 3)
  --events N     events of each run before everything is mended (default 10000)
  --jobs N       processes that run them (default 1)
  --minutes M    no run begins later than this
  --script FILE  one run that does what the file says, in place of what a seed would decide
  --sabotage S   a mistake that must be found: ${SABOTAGES.join(', ')}
  --keep-going   goes on after a failure
  --no-shrink    shows a failing run as it was
  --verbose      a line for each run`

const OPTIONS = {
  runs: { type: 'string' },
  seed: { type: 'string', default: '1' },
  nodes: { type: 'string', default: '5' },
  groups: { type: 'string', default: '3' },
  events: { type: 'string', default: '10000' },
  jobs: { type: 'string', default: '1' },
  minutes: { type: 'string' },
  script: { type: 'string' },
  sabotage: { type: 'string' },
  'keep-going': { type: 'boolean', default: false },
  'no-shrink': { type: 'boolean', default: false },
  verbose: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

const PROGRESS_MS = 2000

function natural(name: string, text: string, max: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > max)
    throw new Error(`--${name} is a number from 1 to ${max}, not ${text}`)
  return value
}

function sabotageNamed(text: string | undefined): Sabotage | undefined {
  const known = SABOTAGES.find((sabotage) => sabotage === text)
  if (text !== undefined && known === undefined) throw new Error(`there is no sabotage ${text}`)
  return known
}

function describe({ runs, counts, failures, elapsedMs }: CampaignReport): string {
  const rate = (runs / elapsedMs) * 1000
  const named = Object.entries(counts).map(([name, count]) => {
    const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    return `  ${words.padEnd(22)} ${String(count).padStart(12)}`
  })
  return [
    `${runs} runs in ${(elapsedMs / 1000).toFixed(1)} s (${rate.toFixed(1)}/s), ${failures.length} failed`,
    ...named,
  ].join('\n')
}

function tell(run: CampaignRun): void {
  const { number, seed, outcome } = run
  if (outcome.kind === 'failed')
    console.log(`FAILED run ${number} (seed ${seed}): ${outcome.headline}\n\n${outcome.text}\n`)
  else
    console.log(`run ${number} (seed ${seed}): ${outcome.counts.events} events, trace ${outcome.traceHash}`)
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: OPTIONS })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const script = values.script === undefined ? undefined : parseScript(readFileSync(values.script, 'utf8'))
  const sabotage = sabotageNamed(values.sabotage)
  const jobs = natural('jobs', values.jobs, 64)
  const durationMs =
    values.minutes === undefined
      ? Number.POSITIVE_INFINITY
      : natural('minutes', values.minutes, 100_000) * 60_000
  const endless = values.minutes === undefined ? 100 : Number.MAX_SAFE_INTEGER
  const runners = jobs === 1 ? [localRunner] : Array.from({ length: jobs }, () => new ProcessRunner())
  let toldAt = systemClock.monotonic()
  try {
    const report = await runCampaign({
      seed: script?.seed ?? natural('seed', values.seed, 0xffff_ffff),
      runCount:
        script === undefined && values.runs === undefined
          ? endless
          : script === undefined
            ? natural('runs', values.runs ?? '', 1e9)
            : 1,
      durationMs,
      keepsGoing: values['keep-going'],
      request: {
        nodeCount: natural('nodes', values.nodes, 9),
        groupCount: natural('groups', values.groups, 20),
        eventCount: natural('events', values.events, 1e9),
        ...(values['no-shrink'] ? { shrinkMs: 0 } : {}),
        ...(script === undefined ? {} : { script }),
        ...(sabotage === undefined ? {} : { sabotage }),
      },
      runners,
      onRun: (run, { runs, failures, elapsedMs, counts }) => {
        if (values.verbose || run.outcome.kind === 'failed') tell(run)
        if (systemClock.monotonic() - toldAt < PROGRESS_MS) return
        toldAt = systemClock.monotonic()
        const rate = ((runs / elapsedMs) * 1000).toFixed(1)
        process.stderr.write(
          `${runs} runs, ${rate}/s, ${(counts.events / 1e6).toFixed(1)} M events, ${failures.length} failed\n`,
        )
      },
    })
    console.log(describe(report))
    return report.failures.length === 0 ? 0 : 1
  } finally {
    for (const runner of runners) await runner.close()
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`sim: ${messageOf(error)}\n\n${USAGE}`)
  process.exitCode = 2
}
