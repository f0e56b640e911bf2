import { join } from 'node:path'
import type { Clock } from '@sluice/foundation'
import { type ClusterState, readClusterFile, writeClusterFile } from './cluster-file.js'
import { INTERNAL_HOST, planExtraBroker } from './cluster-plan.js'
import { DataLock, LockHeldError } from './data-lock.js'
import { dataPaths } from './data-paths.js'
import { ensureDatabase } from './database-server.js'
import { leftovers, stopLeftovers } from './leftovers.js'
import { LogFile } from './log-file.js'
import { ManagedProcess, type ProcessTimes } from './managed-process.js'
import { isPortFree } from './ports.js'
import { reachable } from './readiness.js'
import { StartRefusedError } from './start-command.js'
import type { Terminal } from './terminal.js'

export interface ExtraBrokerParts {
  readonly dataDirectory: string
  readonly port: number
  readonly script: string
  readonly baseEnv: Readonly<Record<string, string>>
  readonly databasePrefix: string
  readonly times: ProcessTimes
  readonly terminal: Terminal
  readonly clock: Clock
}

/**
 * Runs one more broker beside the cluster of a data directory until `signal` aborts. It waits to be added
 * by POST /broker, and is found again under its port after a restart.
 *
 * @param onStart given what ends the process at once
 * @throws StartRefusedError, ProcessStartError, or what the database server says, with nothing left running
 */
export async function runExtraBroker(
  parts: ExtraBrokerParts,
  signal: AbortSignal,
  onStart: (process: { kill(): void }) => void,
): Promise<void> {
  const { dataDirectory, port, terminal, times } = parts
  const paths = dataPaths(dataDirectory)
  const cluster = readClusterFile(paths.clusterFile)
  const serverUrl = cluster?.postgresUrl ?? null
  if (cluster === undefined || serverUrl === null || DataLock.holder(paths.lock) === undefined) {
    throw new StartRefusedError(`No cluster runs in ${dataDirectory}; start one first, with npm start`)
  }
  const own = dataPaths(join(dataDirectory, `broker-extra-${port}`))
  const lock = takeLock(own.lock, port)
  try {
    const before = readClusterFile(own.clusterFile)
    if (before !== undefined) await stopLeftovers(leftovers(before), times.stopTimeoutMs)
    if (!(await isPortFree(INTERNAL_HOST, port))) {
      throw new StartRefusedError(`Port ${port} is in use by another program; choose another one with --port`)
    }
    const databaseUrl = await ensureDatabase(serverUrl, `${parts.databasePrefix}${port}`)
    const plan = planExtraBroker(
      { clusterId: cluster.clusterId, dataDirectory },
      { port, databaseUrl },
      parts.script,
    )
    const log = new LogFile(join(paths.logs, `${plan.name}.log`))
    const save = (): void => saveState(own.clusterFile, cluster, managed)
    const managed: ManagedProcess = new ManagedProcess(
      { ...plan, env: { ...parts.baseEnv, ...plan.env } },
      times,
      {
        line: (name, text, fromStderr) => {
          log.append(text)
          terminal.log(name, text, fromStderr)
        },
        changed: () => save(),
        ended: (name, reason, delayMs) =>
          terminal.notice(`${name} ${reason}; starting it again in ${(delayMs / 1000).toFixed(1)} s`),
        recovered: (name) => terminal.notice(`${name} serves again`),
      },
      parts.clock,
    )
    onStart(managed)
    try {
      await managed.start()
      describe(parts, cluster, log.path)
      terminal.showLogs()
      await untilAborted(signal)
      terminal.plain('stopping …')
    } finally {
      await managed.stop()
      log.close()
    }
  } finally {
    lock.release()
  }
}

function takeLock(path: string, port: number): DataLock {
  try {
    return DataLock.take(path)
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error
    throw new StartRefusedError(`A broker on port ${port} runs already, under process ${error.pid}`)
  }
}

/** A state file of its own: the cluster's belongs to the process that runs the cluster. */
function saveState(path: string, cluster: ClusterState, { plan, pid }: ManagedProcess): void {
  const entry = { name: plan.name, kind: plan.kind, id: plan.id, pid: pid ?? null, port: plan.port }
  writeClusterFile(path, { ...cluster, processes: [entry] })
}

function describe(
  { terminal, port, dataDirectory }: ExtraBrokerParts,
  cluster: ClusterState,
  logPath: string,
): void {
  const address = `http://${reachable(cluster.host)}:${cluster.port}`
  terminal.box([
    `A broker waits on port ${port}. Add it to the cluster with:`,
    '',
    `curl ${address}/broker -H 'content-type: application/json' -d '{"port":${port}}'`,
    '',
    `data  ${join(dataDirectory, `broker-extra-${port}`)}`,
    `log   ${logPath}`,
    'stop  Ctrl-C; the same command brings it back',
  ])
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
