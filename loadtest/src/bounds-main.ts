import { writeFileSync } from 'node:fs'
import { messageOf, systemClock } from '@sluice/foundation'
import { Command } from 'commander'
import { type BoundsRow, runBounds } from './bounds-run.js'
import { parseConnections, parseCount, parseLoopbackUrl, parseSeconds } from './options.js'

interface Flags {
  readonly url: string
  readonly connections: number[]
  readonly seconds: number
  readonly topics: number
  readonly partitions: number
  readonly actors: number
  readonly pid?: number
  readonly beside?: string
  readonly besidePid?: number
  readonly rounds: number
  readonly json?: string
}

const program = new Command('bounds')
  .description('Measures whether registration and topics slow down as a cluster grows.')
  .option('--url <address>', 'public address of the cluster', parseLoopbackUrl, 'http://127.0.0.1:8080')
  .option('--connections <number>', 'connections at once', parseConnections, [60])
  .option('--seconds <number>', 'length of each run', parseSeconds, 5)
  .option('--topics <number>', 'topics that the cluster is filled with', parseCount, 1000)
  .option('--partitions <number>', 'partitions of each of them', parseCount, 5)
  .option('--actors <number>', 'producers and consumers that it is filled with', parseCount, 50_000)
  .option('--pid <number>', 'of npm start: measures the processor time of a call too', parseCount)
  .option(
    '--beside <address>',
    'another cluster, which stays small: the two are measured in turn',
    parseLoopbackUrl,
  )
  .option('--beside-pid <number>', 'of its npm start', parseCount)
  .option('--rounds <number>', 'measurements in each of the two; their median counts', parseCount, 3)
  .option('--json <file>', 'writes the results there too')

try {
  const { url, pid, beside, besidePid, connections, partitions, json, ...flags } = program
    .parse()
    .opts<Flags>()
  const rows = await runBounds({
    ...flags,
    cluster: { url, pid },
    beside: beside === undefined ? undefined : { url: beside, pid: besidePid },
    connections: connections[0]!,
    partitionsPerTopic: partitions,
    runId: systemClock.now().toString(36),
    say: (text) => process.stderr.write(`${text}\n`),
  })
  for (const row of rows) process.stdout.write(`${describe(row)}\n`)
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`)
  process.exitCode = rows.every(({ faults }) => faults.length === 0) ? 0 : 1
} catch (error) {
  process.stderr.write(`The measurement ended early: ${messageOf(error)}\n`)
  process.exitCode = 1
}

function describe(row: BoundsRow): string {
  const cost = (ms: number | undefined): string =>
    ms === undefined ? '' : `, ${ms.toFixed(2)} ms of processor`
  const small = `${Math.round(row.small)}/s (p99 ${Math.round(row.p99SmallMs)} ms${cost(row.costSmallMs)})`
  const full = `${Math.round(row.full)}/s (p99 ${Math.round(row.p99FullMs)} ms${cost(row.costFullMs)})`
  const verdict = row.faults.length === 0 ? '' : ` FAILED: ${row.faults.join('; ')}`
  return `${row.scenario}: small ${small}, full ${full}${verdict}`
}
