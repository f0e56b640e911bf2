import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type ProcessEntry, readClusterFile } from './cluster-file.js'
import { INTERNAL_HOST } from './cluster-plan.js'
import { dataPaths } from './data-paths.js'
import { stillRuns } from './leftovers.js'
import { table } from './text-table.js'

/**
 * The processes of the cluster in a data directory, and whether they are alive, as lines to print.
 *
 * @returns `running` when every process of the cluster is alive
 */
export function describeStatus(dataDirectory: string): {
  readonly lines: string[]
  readonly running: boolean
} {
  const state = readClusterFile(dataPaths(dataDirectory).clusterFile)
  if (state === undefined)
    return { lines: [`No cluster has been started in ${dataDirectory}.`], running: false }
  const withLife = (entry: ProcessEntry): { entry: ProcessEntry; alive: boolean } => ({
    entry,
    alive: stillRuns(state.clusterId, entry),
  })
  const own = state.processes.map(withLife)
  const rows = [...own, ...extraBrokers(dataDirectory).map(withLife)].map(({ entry, alive }) => [
    entry.name,
    entry.pid === null ? '-' : String(entry.pid),
    entry.port === null ? '-' : String(entry.port),
    alive ? 'alive' : 'not running',
  ])
  return {
    lines: [
      `Cluster ${state.clusterId} in ${dataDirectory}, public address http://${state.host}:${state.port}`,
      ...table([['process', 'pid', 'port', 'state'], ...rows]),
    ],
    running: own.length > 0 && own.every(({ alive }) => alive),
  }
}

/** Brokers that `sluice broker` runs keep a state file of their own. */
function extraBrokers(dataDirectory: string): ProcessEntry[] {
  return readdirSync(dataDirectory)
    .filter((name) => name.startsWith('broker-extra-'))
    .flatMap((name) => readClusterFile(join(dataDirectory, name, 'cluster.json'))?.processes ?? [])
    .filter(({ kind }) => kind === 'broker')
}

/** Where the brokers of a data directory answer, those that run. */
export function runningBrokers(dataDirectory: string): string[] {
  const state = readClusterFile(dataPaths(dataDirectory).clusterFile)
  if (state === undefined) return []
  return [...state.processes, ...extraBrokers(dataDirectory)]
    .filter((entry) => entry.kind === 'broker' && entry.port !== null && stillRuns(state.clusterId, entry))
    .map(({ port }) => `${INTERNAL_HOST}:${port}`)
}
