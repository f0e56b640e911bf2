import type { Clock } from '@sluice/foundation'
import { Cluster, type ClusterParts } from './cluster.js'
import {
  type ClusterState,
  newClusterId,
  type ProcessEntry,
  readClusterFile,
  writeClusterFile,
} from './cluster-file.js'
import { type ClusterShape, INTERNAL_HOST, portWishes, type ProcessScripts } from './cluster-plan.js'
import { DataLock, LockHeldError } from './data-lock.js'
import { type DataPaths, dataPaths } from './data-paths.js'
import { givenUpBrokers } from './given-up.js'
import type { DatabaseServer } from './database-server.js'
import { leftovers, stopLeftovers } from './leftovers.js'
import { ProcessStartError } from './managed-process.js'
import { PortClaims } from './port-claims.js'
import { choosePorts } from './ports.js'
import { publicPortProblem } from './public-port.js'
import { reachable } from './readiness.js'
import type { ClusterSettings } from './settings.js'
import type { Terminal } from './terminal.js'

/** A start that cannot succeed as things are; the message says what to do. */
export class StartRefusedError extends Error {
  override readonly name = 'StartRefusedError'
}

export interface StartParts {
  readonly settings: ClusterSettings
  readonly scripts: ProcessScripts
  readonly baseEnv: Readonly<Record<string, string>>
  readonly openDatabases: (
    paths: DataPaths,
    port: number | undefined,
    changed: () => void,
  ) => Promise<DatabaseServer>
  readonly terminal: Terminal
  readonly clock: Clock
}

/** How often ports are chosen anew when somebody takes one between its choice and its use. */
const portAttemptsMax = 3

/**
 * Starts the cluster of a data directory and stops it when `signal` aborts.
 *
 * @param onStart given the cluster before it starts, for a caller that must end it at once
 * @returns when everything is stopped
 * @throws StartRefusedError, ProcessStartError, or what the database server says, with nothing left running
 */
export async function runCluster(
  parts: StartParts,
  signal: AbortSignal,
  onStart: (cluster: Cluster) => void,
): Promise<void> {
  const { settings, terminal } = parts
  const paths = dataPaths(settings.dataDirectory)
  const lock = takeLock(paths)
  const claims = new PortClaims()
  try {
    const before = readClusterFile(paths.clusterFile)
    if (before !== undefined) await clearLeftovers(before, settings.stopTimeoutMs, terminal)
    const problem = await publicPortProblem(settings.host, settings.port)
    if (problem !== undefined) throw new StartRefusedError(problem)
    terminal.progress(
      before === undefined ? `new cluster in ${paths.directory}` : `cluster of ${paths.directory}`,
    )
    const cluster = await startWithPorts({ ...parts, claims }, paths, before, signal, onStart)
    if (cluster === undefined) return
    try {
      describe(parts, paths, cluster)
      terminal.showLogs()
      await aborted(signal)
      terminal.plain('stopping …')
    } finally {
      await cluster.stop()
    }
  } finally {
    claims.release()
    lock.release()
  }
}

function takeLock(paths: DataPaths): DataLock {
  try {
    return DataLock.take(paths.lock)
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error
    const state = readClusterFile(paths.clusterFile)
    const where = state === undefined ? '' : ` on http://${reachable(state.host)}:${state.port}`
    throw new StartRefusedError(
      `This cluster runs already${where}, as process ${error.pid}; stop it with Ctrl-C there, or with: kill ${error.pid}`,
    )
  }
}

async function clearLeftovers(state: ClusterState, timeoutMs: number, terminal: Terminal): Promise<void> {
  const left = leftovers(state)
  if (left.length === 0) return
  terminal.progress(
    `stopping what an earlier run left behind: ${left.map(({ name, pid }) => `${name} (${pid ?? 0})`).join(', ')}`,
  )
  await stopLeftovers(left, timeoutMs)
}

/** @returns undefined when `signal` aborted before everything served, and all is stopped again */
async function startWithPorts(
  parts: StartParts & { readonly claims: PortClaims },
  paths: DataPaths,
  before: ClusterState | undefined,
  signal: AbortSignal,
  onStart: (cluster: Cluster) => void,
): Promise<Cluster | undefined> {
  const { settings, terminal } = parts
  const clusterId = before?.clusterId ?? newClusterId()
  const shape: ClusterShape = {
    clusterId,
    dataDirectory: paths.directory,
    host: settings.host,
    port: settings.port,
    brokerCount: settings.brokerCount,
    givenUp: givenUpBrokers(paths.directory, clusterId),
    readManagerCount: settings.readManagerCount,
    writeManagerCount: settings.writeManagerCount,
    loadBalancerCount: settings.loadBalancerCount,
  }
  const had = portsOf(before?.processes ?? [])
  for (let attempt = 1; ; attempt += 1) {
    const ports = await choosePorts(INTERNAL_HOST, portWishes(shape, had), parts.claims)
    const cluster = new Cluster({
      ...clusterParts(parts, paths, shape, ports, had.get('postgres')),
      isExisting: before !== undefined,
    })
    onStart(cluster)
    try {
      const outcome = await Promise.race([cluster.start().then(() => 'ready'), aborted(signal)])
      if (outcome === 'ready') return cluster
      terminal.plain('stopping …')
      await cluster.stop()
      return undefined
    } catch (error) {
      await cluster.stop()
      if (signal.aborted) return undefined
      const again = error instanceof ProcessStartError && error.portTaken && attempt < portAttemptsMax
      if (!again) throw error
      terminal.notice(`${error.processName} found its port taken; choosing ports again`)
    }
  }
}

function clusterParts(
  parts: StartParts,
  paths: DataPaths,
  shape: ClusterShape,
  ports: ReadonlyMap<string, number>,
  postgresPort: number | undefined,
): Omit<ClusterParts, 'isExisting'> {
  const { settings, scripts, baseEnv, terminal, clock, openDatabases } = parts
  let knownPostgresUrl: string | null = null
  return {
    shape,
    ports,
    scripts,
    baseEnv,
    databasePrefix: settings.databasePrefix,
    openDatabases: (changed) => openDatabases(paths, postgresPort, changed),
    times: settings,
    terminal,
    clock,
    save: (processes, postgresUrl) => {
      knownPostgresUrl = postgresUrl ?? knownPostgresUrl
      const { clusterId, host, port } = shape
      writeClusterFile(paths.clusterFile, {
        version: 1,
        clusterId,
        host,
        port,
        postgresUrl: knownPostgresUrl,
        processes,
      })
    },
  }
}

function portsOf(processes: readonly ProcessEntry[]): Map<string, number> {
  return new Map(processes.flatMap(({ name, port }) => (port === null ? [] : [[name, port] as const])))
}

function describe({ settings, terminal }: StartParts, paths: DataPaths, cluster: Cluster): void {
  const address = `http://${reachable(settings.host)}:${settings.port}`
  const others = cluster
    .entries()
    .flatMap(({ kind, port }) => (kind === 'load-balancer' && port !== null ? [port] : []))
    .filter((port) => port !== settings.port)
  const post = (path: string, body: string): string =>
    `curl ${address}${path} -H 'content-type: application/json' -d '${body}'`
  terminal.box([
    `Sluice is ready: ${address}`,
    ...others.map((port) => `           and at: http://${reachable(settings.host)}:${port}`),
    '',
    post('/producer/register', '{"topic_name":"orders"}'),
    post('/producer/produce', '{"producer_id":1,"topic_name":"orders","message":"hello"}'),
    post('/consumer/register', '{"topic_name":"orders"}'),
    post('/consumer/consume', '{"consumer_id":1,"topic_name":"orders"}'),
    '',
    `data  ${paths.directory}`,
    `logs  ${paths.logs}`,
    'stop  Ctrl-C; the data stays, and npm start goes on with it',
  ])
}

function aborted(signal: AbortSignal): Promise<'aborted'> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('aborted')
    else signal.addEventListener('abort', () => resolve('aborted'), { once: true })
  })
}
