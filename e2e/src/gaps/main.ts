import { mkdir, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { toError } from '@sluice/foundation'
import { drillDatabases } from './database-drill.js'
import type { DrillContext, DrillResult } from './drill.js'
import { drillLeader, LONGEST_GOAL_MS, MEDIAN_GOAL_MS } from './leader-drill.js'

const USAGE = `usage: npm run e2e:gaps -- [--kills N] [--pauses N] [--pause-seconds S] [--database-seconds S]
                         [--rate N] [--brokers 3|5] [--report FILE]

  --kills             so often the leader is killed (default 30, 0 for not at all)
  --pauses            so often the leader stands still (default 30)
  --pause-seconds     for so long (default 8)
  --database-seconds  so long PostgreSQL is stopped, of all brokers and of one (default 60, 0 for not at all)
  --rate              messages a second meanwhile (default 500)
  --brokers           3 or 5 (default 3)
  --report            a Markdown file`

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stop.abort(new Error(`ended by ${signal}`)))

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '30' },
      pauses: { type: 'string', default: '30' },
      'pause-seconds': { type: 'string', default: '8' },
      'database-seconds': { type: 'string', default: '60' },
      rate: { type: 'string', default: '500' },
      brokers: { type: 'string', default: '3' },
      report: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const count = (name: 'kills' | 'pauses' | 'pause-seconds' | 'database-seconds' | 'rate'): number => {
    const value = Number(values[name])
    if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} is a whole number from 0 on`)
    return value
  }
  const brokers = Number(values.brokers)
  if (brokers !== 3 && brokers !== 5) throw new Error('--brokers is 3 or 5')
  const context: DrillContext = { brokers, say, stop: stop.signal }
  const pauseMs = count('pause-seconds') * 1000
  const stopMs = count('database-seconds') * 1000
  const perSecond = count('rate')
  const results: DrillResult[] = []
  for (const [fault, rounds] of [
    ['kill', count('kills')],
    ['pause', count('pauses')],
  ] as const)
    if (rounds > 0) results.push(await drillLeader({ ...context, fault, rounds, pauseMs }))
  if (stopMs > 0)
    for (const scope of ['all', 'one'] as const)
      results.push(await drillDatabases({ ...context, scope, stopMs, perSecond }))
  const text = report(results, brokers)
  if (values.report !== undefined) {
    await mkdir(path.dirname(path.resolve(values.report)), { recursive: true })
    await writeFile(values.report, text)
  }
  console.log(text)
  return results.every(({ missed, violations }) => missed.length === 0 && violations.length === 0) ? 0 : 1
}

function report(results: readonly DrillResult[], brokers: number): string {
  const faults = results.flatMap(({ missed, violations }) => [
    ...missed,
    ...violations.map(({ check, detail }) => `\`${check}\`: ${detail}`),
  ])
  const sections = [
    `# Gap drills: ${faults.length === 0 ? 'every goal was met, and every promise kept' : `**${faults.length} faults**`}`,
    `${brokers} brokers, ${os.cpus().length} cores, load average ${os.loadavg()[0]!.toFixed(1)} at the end, Node ${process.version}. ` +
      `The goals: median gap below ${MEDIAN_GOAL_MS / 1000} s, longest below ${LONGEST_GOAL_MS / 1000} s; no produce call fails while PostgreSQL is stopped; nothing lost, doubled or reordered.`,
    ...(faults.length === 0 ? [] : [faults.map((fault) => `- ${fault}`).join('\n')]),
    ...results.map(({ title, text }) => `## ${title}\n\n${text}`),
  ]
  return `${sections.join('\n\n')}\n`
}

function say(text: string): void {
  console.log(`${(performance.now() / 1000).toFixed(1).padStart(7)} s  ${text}`)
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`gaps: ${toError(error).message}\n\n${USAGE}`)
  process.exitCode = 2
}
