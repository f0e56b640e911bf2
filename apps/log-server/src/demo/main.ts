import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { entropy, messageOf } from '@sluice/foundation'
import { NODES_MAX } from '../arguments.js'
import { LogClient } from './log-client.js'
import { type Scenario, SCENARIOS } from './scenario.js'
import { ServerProcesses } from './server-processes.js'
import { judge, type Verdict } from './verdict.js'

const USAGE = `usage: npm run log-server:demo -- [--scenario 0..4|fast] [--servers N] [--speed K] [--runs R]

Starts servers on free ports, sends them entries while some of them crash and recover, and compares what
the client was told with what every server wrote.
  --scenario  what the client does (default 0); fast: 10,000 entries without a pause
  --servers   1 to ${NODES_MAX} (default 5)
  --speed     divides the client's waits (default 1)
  --runs      one after the other (default 1)`

const OUTPUT_ID = 'demo'
const PROGRAM = fileURLToPath(new URL('../main.js', import.meta.url))

interface Outcome extends Verdict {
  readonly sentCount: number
  readonly loggedCount: number
  readonly medianMs: number
}

function integer(text: string, name: string, max: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > max)
    throw new Error(`--${name} is a whole number from 1 to ${max}, not ${text}`)
  return value
}

async function runOnce(
  scenario: Scenario,
  options: { readonly servers: number; readonly speed: number },
  onProgress: (sent: number, logged: number) => void,
): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'log-server-demo-'))
  await mkdir(join(folder, 'output'))
  const servers = await ServerProcesses.start({
    count: options.servers,
    outputId: OUTPUT_ID,
    folder,
    program: PROGRAM,
  })
  try {
    const client = new LogClient({ ports: servers.ports, scenario, speed: options.speed, random: entropy() })
    const report = await client.run(onProgress)
    const files = await readdir(join(folder, 'output'))
    const logs = await Promise.all(
      servers.ports.map(async (port, i) => {
        const name = `${OUTPUT_ID}-server-127.0.0.1${port}.csv`
        if (!files.includes(name)) throw new Error(`server ${port} wrote no log`)
        const lines = (await readFile(join(folder, 'output', name), 'utf8')).split('\n').slice(0, -1)
        return { name: `server ${port}`, lines, crashedAtMs: report.crashedAtMs[i] }
      }),
    )
    const sorted = report.answerMs.toSorted((a, b) => a - b)
    return {
      ...judge(report.logged, logs),
      sentCount: report.logged.length + report.refusedCount,
      loggedCount: report.logged.length,
      medianMs: sorted[sorted.length >> 1] ?? 0,
    }
  } finally {
    servers.kill()
    await rm(folder, { recursive: true, force: true })
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      scenario: { type: 'string', default: '0' },
      servers: { type: 'string', default: '5' },
      speed: { type: 'string', default: '1' },
      runs: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const scenario = SCENARIOS[values.scenario]
  if (scenario === undefined) throw new Error(`--scenario is one of ${Object.keys(SCENARIOS).join(', ')}`)
  const servers = integer(values.servers, 'servers', NODES_MAX)
  const speed = integer(values.speed, 'speed', 1000)
  const runs = integer(values.runs, 'runs', 1000)
  let faultCount = 0
  let missedRuns = 0
  for (let run = 1; run <= runs; run++) {
    const outcome = await runOnce(scenario, { servers, speed }, (sent, logged) => {
      if (process.stderr.isTTY) process.stderr.write(`\rrun ${run}: ${sent} sent, ${logged} logged `)
    })
    if (process.stderr.isTTY) process.stderr.write('\r')
    faultCount += outcome.faults.length
    missedRuns += outcome.unavoidableMisses.length > 0 ? 1 : 0
    const { sentCount, loggedCount, medianMs, faults, unavoidableMisses } = outcome
    const verdict =
      faults.length > 0 ? 'FAULT' : unavoidableMisses.length > 0 ? 'unavoidable miss' : 'success'
    console.log(
      `run ${run}/${runs}: ${verdict}; ${loggedCount} of ${sentCount} entries logged, median answer ${medianMs.toFixed(1)} ms`,
    )
    for (const line of [...faults, ...unavoidableMisses].slice(0, 20)) console.log(`  ${line}`)
  }
  console.log(
    `${runs} runs of scenario ${values.scenario} with ${servers} servers: ${faultCount} faults, ${missedRuns} with an unavoidable miss`,
  )
  return faultCount === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`log-server demo: ${messageOf(error)}\n\n${USAGE}`)
  process.exitCode = 2
}
