import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { toError } from '@sluice/foundation'
import { ChaosRun } from './chaos-run.js'
import { ALL_FAULT_KINDS, factsOf, parseFaultKinds } from './fault.js'
import { MUTANTS, mutantById } from './mutants.js'
import { runMutants } from './mutant-hunt.js'
import { replayCommand, type RunResult, type RunSettings, verdictOf, writeReport } from './report.js'
import { drawTimeline } from './timeline.js'

const USAGE = `usage: npm run test:chaos -- [--minutes N] [--seed S] [--brokers 3|5] [--faults a,b] [--report FILE]
       npm run test:chaos -- --mutant ID | --mutants [ID,ID]

  --minutes  how long faults are made (default 2)
  --seed     of the schedule (default 1)
  --brokers  3 or 5 (default 3)
  --faults   kinds, what they begin with, or families (default all)
  --report   a Markdown file, in place of the report on the terminal; its timeline lies beside it as .svg,
             and what the processes wrote when a promise was broken
  --mutant   runs with a re-injected bug, with the faults that bring it out, and expects it to be caught
  --mutants  all of them, or those named, one after the other
  --list     faults and mutants`

/** A cluster, servers and perhaps a mount are to be put away first. */
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stop.abort(new Error(`ended by ${signal}`)))

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: 'string' },
      seed: { type: 'string', default: '1' },
      brokers: { type: 'string', default: '3' },
      faults: { type: 'string', default: '' },
      report: { type: 'string' },
      mutant: { type: 'string', default: '' },
      mutants: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help || values.list) {
    console.log(values.help ? USAGE : list())
    return 0
  }
  const seed = integer('--seed', values.seed, 0)
  const minutes = values.minutes === undefined ? undefined : number('--minutes', values.minutes)
  if (values.mutants || values.mutant !== '') {
    const named = values.mutant === '' ? (positionals[0] ?? '').split(',') : [values.mutant]
    const ids = named.filter((id) => id !== '')
    const mutants = ids.length === 0 ? MUTANTS : ids.map(mutantById)
    const { caughtAll, text } = await runMutants(mutants, { seed, minutes, stop: stop.signal }, say)
    console.log(text)
    if (values.report !== undefined) await writeFile(values.report, `${text}\n`)
    return caughtAll ? 0 : 1
  }
  const brokers = integer('--brokers', values.brokers, 3)
  if (brokers !== 3 && brokers !== 5) throw new Error('--brokers is 3 or 5')
  if (values.faults !== '') parseFaultKinds(values.faults)
  const settings: RunSettings = { minutes: minutes ?? 2, seed, brokers, faults: values.faults, mutant: '' }
  const result = await new ChaosRun(settings, say, stop.signal, logsOf(values.report)).run()
  await tell(result, values.report)
  return result.violations.length === 0 ? 0 : 1
}

async function tell(result: RunResult, file: string | undefined): Promise<void> {
  if (file !== undefined) {
    const picture = `${file.replace(/\.md$/, '')}.svg`
    await mkdir(path.dirname(path.resolve(file)), { recursive: true })
    await writeFile(file, writeReport(result, path.basename(picture)))
    const { startedMs, endedMs, acknowledged, spans, settings } = result
    const title = `seed ${settings.seed}, ${settings.brokers} brokers`
    await writeFile(picture, drawTimeline({ title, startedMs, endedMs, acknowledged, spans }))
  }
  console.log(
    file === undefined ? writeReport(result, undefined) : `${verdictOf(result)}\n\nThe report is ${file}`,
  )
  if (result.violations.length > 0) console.log(`replay with: ${replayCommand(result.settings)}`)
}

function logsOf(report: string | undefined): string | undefined {
  return report === undefined ? undefined : `${report.replace(/\.md$/, '')}-logs`
}

function list(): string {
  return [
    ...ALL_FAULT_KINDS.map((kind) => `${kind.padEnd(22)} ${factsOf(kind).does}`),
    '',
    ...MUTANTS.map(({ id, bug }) => `${id.padEnd(32)} ${bug}`),
  ].join('\n')
}

function say(text: string): void {
  console.log(`${(performance.now() / 1000).toFixed(1).padStart(7)} s  ${text}`)
}

function integer(name: string, text: string, min: number): number {
  const value = number(name, text)
  if (!Number.isSafeInteger(value) || value < min) throw new Error(`${name} is a whole number from ${min} on`)
  return value
}

function number(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0) && text !== '0') throw new Error(`${name} is a number, not ${text}`)
  return value
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`chaos: ${toError(error).message}\n\n${USAGE}`)
  process.exitCode = 2
}
