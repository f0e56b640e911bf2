import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf } from '@sluice/foundation'

const PROCESS_KINDS = [
  'supervisor',
  'postgres',
  'broker',
  'write-manager',
  'read-manager',
  'load-balancer',
] as const
export type ProcessKind = (typeof PROCESS_KINDS)[number]

/** One process of the cluster, as the state file names it. */
export interface ProcessEntry {
  readonly name: string
  readonly kind: ProcessKind
  readonly id: number
  /** null while it does not run. */
  readonly pid: number | null
  /** null for a process without a port. */
  readonly port: number | null
}

/** What outlives a stop: who the cluster is, where its processes listen, and which run now. */
export interface ClusterState {
  readonly version: 1
  /** 32 hex digits. */
  readonly clusterId: string
  /** The public address. */
  readonly host: string
  readonly port: number
  /** Where databases are created, `postgres://…`; null before the first start got that far. */
  readonly postgresUrl: string | null
  readonly processes: readonly ProcessEntry[]
}

export function newClusterId(): string {
  return randomBytes(16).toString('hex')
}

/** @throws Error that names the file when it is not one of ours */
export function readClusterFile(path: string): ClusterState | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    return parseClusterState(JSON.parse(text))
  } catch (cause) {
    throw new Error(`${path} cannot be read (${messageOf(cause)}); move it away to start as a new cluster`, {
      cause,
    })
  }
}

/** Replaces the file at once: a reader sees the old or the new state, also after a crash. */
export function writeClusterFile(path: string, state: ClusterState): void {
  mkdirSync(dirname(path), { recursive: true })
  const draft = `${path}.${process.pid}.tmp`
  // The PostgreSQL address may carry a password.
  writeFileSync(draft, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600, flush: true })
  renameSync(draft, path)
}

function parseClusterState(value: unknown): ClusterState {
  const record = toRecord(value, 'the state')
  const { version, clusterId, host, port, postgresUrl, processes } = record
  if (version !== 1) throw new Error(`version ${String(version)} is not known`)
  if (typeof clusterId !== 'string' || !/^[0-9a-f]{32}$/.test(clusterId))
    throw new Error('clusterId is not 32 hex digits')
  if (typeof host !== 'string') throw new Error('host is not text')
  if (postgresUrl !== null && typeof postgresUrl !== 'string') throw new Error('postgresUrl is not text')
  if (!Array.isArray(processes)) throw new Error('processes is not a list')
  return {
    version,
    clusterId,
    host,
    port: toNumber(port, 'port'),
    postgresUrl,
    processes: processes.map(parseEntry),
  }
}

function parseEntry(value: unknown): ProcessEntry {
  const { name, kind, id, pid, port } = toRecord(value, 'a process')
  if (typeof name !== 'string') throw new Error('the name of a process is not text')
  const known = PROCESS_KINDS.find((one) => one === kind)
  if (known === undefined) throw new Error(`kind of ${name} is not known`)
  return {
    name,
    kind: known,
    id: toNumber(id, `id of ${name}`),
    pid: pid === null ? null : toNumber(pid, `pid of ${name}`),
    port: port === null ? null : toNumber(port, `port of ${name}`),
  }
}

function toRecord(value: unknown, what: string): Readonly<Record<string, unknown>> & ClusterFields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${what} is not an object`)
  return value as Readonly<Record<string, unknown>> & ClusterFields
}

/** The fields by name, each still unknown. */
interface ClusterFields {
  readonly version?: unknown
  readonly clusterId?: unknown
  readonly host?: unknown
  readonly port?: unknown
  readonly postgresUrl?: unknown
  readonly processes?: unknown
  readonly name?: unknown
  readonly kind?: unknown
  readonly id?: unknown
  readonly pid?: unknown
}

function toNumber(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new Error(`${what} is not a number`)
  return value
}
