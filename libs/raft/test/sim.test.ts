import { describe, expect, test } from '@jest/globals'
import { SABOTAGES, simulate, SimulationFailure, World } from '../src/testing/index.js'

/** 500 seeds, 25 in a test; each a cluster of 5 nodes with 3 groups. */
const FIRST_SEEDS = Array.from({ length: 20 }, (_, i) => 1 + 25 * i)
const SEEDS_A_TEST = 25

describe('the host is safe under faults, and heals after them', () => {
  test.each(FIRST_SEEDS)(
    'seeds %i to +24',
    async (first) => {
      let acknowledged = 0
      for (let seed = first; seed < first + SEEDS_A_TEST; seed++) {
        const replay = `replay: npm run sim -w libs/raft -- --seed ${seed} --runs 1 --events 4000 --verbose`
        const report = await simulate({ seed, eventCount: 4000 }).catch((error: unknown) => {
          throw new Error(`seed ${seed}; ${replay}`, { cause: error })
        })
        acknowledged += report.counts.acknowledged
      }
      // Runs are worth something only if clients got something done in them.
      expect(acknowledged).toBeGreaterThan(SEEDS_A_TEST * 10)
    },
    120_000,
  )

  test.each([3, 4, 6])('with %i nodes', async (nodeCount) => {
    for (let seed = 1; seed <= 5; seed++)
      expect((await simulate({ seed, nodeCount, eventCount: 3000 })).counts.acknowledged).toBeGreaterThan(0)
  })
})

describe('the simulation itself', () => {
  test.each([1, 2, 3, 4, 5])('seed %i gives the same run twice', async (seed) => {
    const run = (): Promise<unknown> => new World({ seed, eventCount: 3000 }).run()
    expect(await run()).toEqual(await run())
  })

  test('other seeds give other runs', async () => {
    const hashes = new Set<string>()
    for (let seed = 1; seed <= 5; seed++)
      hashes.add((await new World({ seed, eventCount: 1000 }).run()).traceHash)
    expect(hashes.size).toBe(5)
  })

  test('what was decided, decided again, gives the same run', async () => {
    const world = new World({ seed: 7, eventCount: 2000 })
    const { traceHash } = await world.run()
    expect((await new World({ seed: 7, script: world.script }).run()).traceHash).toBe(traceHash)
  })

  test('faults really happen', async () => {
    const reports = await Promise.all([1, 2, 3, 4].map((seed) => simulate({ seed, eventCount: 10_000 })))
    for (const name of [
      'elections',
      'crashes',
      'configurationChanges',
      'reads',
      'snapshotsInstalled',
    ] as const)
      expect(reports.reduce((sum, { counts }) => sum + counts[name], 0)).toBeGreaterThan(0)
  })

  test.each(SABOTAGES)(
    'finds a world that %s',
    async (sabotage) => {
      let found: unknown
      for (let seed = 1; seed <= 60 && found === undefined; seed++)
        await simulate({ seed, sabotage, eventCount: 6000 }).catch((error: unknown) => (found = error))
      expect(found).toBeInstanceOf(SimulationFailure)
    },
    120_000,
  )
})
