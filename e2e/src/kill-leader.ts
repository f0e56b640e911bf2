import { parseArgs } from 'node:util'
import { acknowledgedInEachDatabase } from './databases.js'
import { LocalCluster } from './local-cluster.js'
import { faultsOf, MESSAGES_TOTAL, type RunResult, runRealInput, TOPICS } from './real-input.js'

/** Half-way: so many messages are acknowledged when the leader is killed. */
const KILL_AT = 1400

export interface KillRun {
  readonly result: RunResult
  readonly faults: readonly string[]
}

/**
 * The real input, with the leader of T-1.1 killed half-way and started again 5 s later; then every
 * broker's database is counted.
 */
export async function runKillLeader(): Promise<KillRun> {
  const cluster = await LocalCluster.start({
    env: { SLUICE_PARTITION_MESSAGES_MAX: '500', SLUICE_RESTART_DELAY_MS: '5000' },
  })
  try {
    let killed: Promise<void> | undefined
    const result = await runRealInput(cluster.api, (count) => {
      if (count >= KILL_AT) killed ??= cluster.leaderOf('T-1.1').then((leader) => cluster.kill(leader))
    })
    await killed
    const faults = faultsOf(result)
    if (killed === undefined) faults.push('nobody was killed')
    try {
      await acknowledgedInEachDatabase(cluster, TOPICS, MESSAGES_TOTAL)
    } catch (error) {
      faults.push((error as Error).message)
    }
    return { result, faults }
  } finally {
    await cluster.destroy()
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { runs: { type: 'string', default: '20' } } })
  const runs = Number(values.runs)
  let failed = 0
  const gaps: number[] = []
  for (let run = 1; run <= runs; run++) {
    const { result, faults } = await runKillLeader()
    gaps.push(result.longestGapMs)
    if (faults.length > 0) failed++
    const verdict = faults.length === 0 ? 'nothing lost, nothing twice' : faults.slice(0, 5).join('; ')
    console.log(
      `run ${run}/${runs}: longest gap ${Math.round(result.longestGapMs)} ms, ${result.refused} refused, ${verdict}`,
    )
  }
  gaps.sort((a, b) => a - b)
  console.log(
    `${runs - failed} of ${runs} runs without a fault; longest gap median ${Math.round(gaps[runs >> 1]!)} ms, at most ${Math.round(gaps.at(-1)!)} ms`,
  )
  if (failed > 0) process.exitCode = 1
}

if (process.argv[1]?.endsWith('kill-leader.js') === true) await main()
