export {
  command,
  CoreDriver,
  type DriverOptions,
  entriesOfTerms,
  type Envelope,
  nodeId,
} from './core-driver.js'
export { InvariantBroken, type InvariantCheck, type ObservedReplica } from './invariants/invariant-check.js'
export { MemoryLog } from '../storage/memory-log.js'
export { ScriptCluster } from './script-cluster.js'
export { type Sabotage, SABOTAGES } from './sabotage.js'
export { simulate, SimulationFailure } from './simulate.js'
export { World, type WorldOptions, type WorldReport } from './world.js'
