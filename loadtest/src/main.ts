import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { messageOf, systemClock } from '@sluice/foundation'
import { Command } from 'commander'
import { runLoadTest } from './load-test.js'
import { parseConnections, parseLoopbackUrl, parseScenarios, parseSeconds } from './options.js'
import { SCENARIO_NAMES, type ScenarioName } from './original.js'
import { describeReport } from './report.js'

interface Flags {
  readonly url: string
  readonly connections: number[]
  readonly seconds: number
  readonly scenarios: ScenarioName[]
  readonly json?: string
}

const program = new Command('loadtest')
  .description(
    'Loads a running cluster on this machine, and counts what was acknowledged against what can be read.',
  )
  .option('--url <address>', 'public address of the cluster', parseLoopbackUrl, 'http://127.0.0.1:8080')
  .option('--connections <list>', 'numbers of connections, one run each', parseConnections, [1, 16, 60])
  .option('--seconds <number>', 'length of each run', parseSeconds, 10)
  .option('--scenarios <list>', SCENARIO_NAMES.join(', '), parseScenarios, [...SCENARIO_NAMES])
  .option('--json <file>', 'writes the results there too')

try {
  const flags = program.parse().opts<Flags>()
  const startedAt = systemClock.now()
  const rows = await runLoadTest({
    ...flags,
    bareScript: fileURLToPath(new URL('./bare-server.js', import.meta.url)),
    runId: startedAt.toString(36),
    say: (text) => process.stderr.write(`${text}\n`),
  })
  process.stdout.write(`\n${describeReport(rows).join('\n')}\n`)
  if (flags.json !== undefined) {
    const { url, seconds } = flags
    const machine = { node: process.version, cores: availableParallelism() }
    const at = new Date(startedAt).toISOString()
    writeFileSync(flags.json, `${JSON.stringify({ at, url, seconds, machine, rows }, null, 2)}\n`)
  }
  process.exitCode = rows.every(({ verdict }) => verdict === 'passed') ? 0 : 1
} catch (error) {
  process.stderr.write(`The load test ended early: ${messageOf(error)}\n`)
  process.exitCode = 1
}
