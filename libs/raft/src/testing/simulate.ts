import { messageOf } from '@sluice/foundation'
import { World, type WorldOptions, type WorldReport } from './world.js'

/** A run that broke a law, with the way to see it again. */
export class SimulationFailure extends Error {
  override readonly name = 'SimulationFailure'
}

/**
 * One run. A failing one is told again, so that the error says how the cluster got there.
 * @throws SimulationFailure
 */
export function simulate(options: WorldOptions): WorldReport {
  try {
    return new World(options).run()
  } catch (error) {
    const { seed, nodeCount, learnerCount = 0 } = options
    const run = `seed ${seed} with ${nodeCount} nodes${learnerCount > 0 ? `, ${learnerCount} learner` : ''}`
    const lines = [
      `${run}: ${messageOf(error)}`,
      `replay: npm run -s jest -- libs/raft/test/sim.test.ts -t "${run}$"`,
      ...retell(options),
    ]
    throw new SimulationFailure(lines.join('\n'), { cause: error })
  }
}

function retell(options: WorldOptions): readonly string[] {
  const world = new World({ ...options, verbose: true })
  try {
    world.run()
    return ['the run did not fail again: something in it is not deterministic']
  } catch {
    return world.lines
  }
}
