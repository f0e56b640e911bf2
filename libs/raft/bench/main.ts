import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { toError } from '@sluice/foundation'
import { type BenchOptions, parseOptions, USAGE } from './bench-options.js'
import { machineFacts, withLoadAfter } from './machine-facts.js'
import { markdown } from './report.js'
import { profileReport } from './profile.js'
import type { BenchContext, Measurement, Row } from './row.js'
import { ROWS } from './rows.js'

async function run(options: BenchOptions): Promise<number> {
  const unknown = options.rows?.filter((wanted) => ROWS.every(({ id }) => id !== wanted)) ?? []
  if (unknown.length > 0) throw new Error(`there is no row ${unknown.join(', ')}`)
  const rows = ROWS.filter(({ id }) => options.rows?.includes(id) ?? true)
  const parent = resolve(options.data ?? tmpdir())
  await mkdir(parent, { recursive: true })
  const profileDirectory =
    options.profile === undefined ? undefined : await newDirectory(resolve(options.profile))
  const directory = await mkdtemp(join(parent, 'raft-bench-'))
  process.once('SIGINT', () => {
    rmSync(directory, { recursive: true, force: true })
    process.exit(130)
  })
  const context: BenchContext = {
    seconds: options.seconds,
    kills: options.kills,
    directory,
    profileDirectory,
    say: (progress) => console.error(`  ${progress}`),
  }
  try {
    const facts = await machineFacts(directory)
    const { measurements, failures } = await runRows(rows, context)
    const report = withLoadAfter(facts)
    console.log(markdown(report, rows, measurements))
    if (profileDirectory !== undefined)
      console.log(`\nProfiles in ${profileDirectory}\n\n${await profileReport(profileDirectory)}`)
    for (const failure of failures) console.log(`\n${failure}`)
    if (options.json !== undefined)
      await writeFile(
        options.json,
        `${JSON.stringify({ ...report, measurements, failures }, undefined, 2)}\n`,
      )
    return failures.length > 0 || measurements.some(({ isMet }) => isMet === false) ? 1 : 0
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Its own for each run, so that no report holds another run's profiles. */
async function newDirectory(parent: string): Promise<string> {
  await mkdir(parent, { recursive: true })
  return mkdtemp(join(parent, 'run-'))
}

/** A row that breaks does not take the others' figures along. */
async function runRows(
  rows: readonly Row[],
  context: BenchContext,
): Promise<{ readonly measurements: readonly Measurement[]; readonly failures: readonly string[] }> {
  const measurements: Measurement[] = []
  const failures: string[] = []
  for (const row of rows) {
    console.error(`${row.id}: ${row.title}`)
    try {
      measurements.push(...(await row.run(context)))
    } catch (error) {
      failures.push(`row ${row.id} broke: ${toError(error).message}`)
    }
  }
  return { measurements, failures }
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options.help) console.log(USAGE)
  else process.exitCode = await run(options)
} catch (error) {
  console.error(`bench: ${toError(error).message}\n\n${USAGE}`)
  process.exitCode = 2
}
