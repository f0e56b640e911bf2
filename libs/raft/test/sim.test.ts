import { describe, expect, test } from '@jest/globals'
import { type Sabotage, simulate, SimulationFailure, World } from '../src/testing/index.js'

const seeds = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i + 1)

/** A run is worth something only if clients got something done in it. */
function survives(options: { seed: number; nodeCount: number; learnerCount?: number }): void {
  expect(simulate(options).acknowledgedCount).toBeGreaterThan(0)
}

describe('a cluster is safe under faults, and heals after them', () => {
  test.each(seeds(150))('seed %i with 3 nodes', (seed) => survives({ seed, nodeCount: 3 }))

  test.each(seeds(150))('seed %i with 5 nodes', (seed) => survives({ seed, nodeCount: 5 }))

  test.each(seeds(20))('seed %i with 5 nodes, 1 learner', (seed) =>
    survives({ seed, nodeCount: 5, learnerCount: 1 }),
  )

  test.each(seeds(5))('seed %i with 1 nodes', (seed) => survives({ seed, nodeCount: 1 }))
})

describe('the simulation itself', () => {
  test.each(seeds(10))('seed %i gives the same run twice', (seed) => {
    const run = (): unknown => new World({ seed, nodeCount: 3 }).run()
    expect(run()).toEqual(run())
  })

  test('other seeds give other runs', () => {
    const hashes = seeds(10).map((seed) => new World({ seed, nodeCount: 3 }).run().traceHash)
    expect(new Set(hashes).size).toBe(10)
  })

  test.each<{ sabotage: Sabotage; law: RegExp }>([
    { sabotage: 'reports-writes-before-sync', law: /is durable|on a quorum/ },
    { sabotage: 'forgets-votes', law: /one vote a term|keeps the/ },
    { sabotage: 'skips-an-entry', law: /applied in order|state machine safety/ },
  ])('finds a host that $sabotage', ({ sabotage, law }) => {
    const failures = seeds(20).flatMap((seed) => {
      try {
        simulate({ seed, nodeCount: 3, sabotage, faultsMs: 4000 })
        return []
      } catch (error) {
        return [error]
      }
    })
    expect(failures.length).toBeGreaterThan(0)
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(SimulationFailure)
      expect((failure as SimulationFailure).message).toMatch(law)
      expect((failure as SimulationFailure).message).toMatch(
        /replay: npm run .* -t "seed \d+ with 3 nodes\$"/,
      )
    }
  })
})
