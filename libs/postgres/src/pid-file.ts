import { readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { processState } from './process-table.js'

/** What postmaster.pid says about the server that wrote it. */
interface PidFile {
  readonly pid: number
  readonly port: number
  /** Id of the shared memory that every process of the server keeps attached; −1 when unknown. */
  readonly sharedMemoryId: number
  readonly ready: boolean
}

/** Who holds a data directory. */
export type DirectoryHolder =
  | { readonly kind: 'nobody' }
  /** A server runs on it. */
  | {
      readonly kind: 'server'
      readonly pid: number
      readonly port: number
      readonly starter: string | undefined
    }
  /** The server ended, processes of it are still about to. */
  | { readonly kind: 'remains'; readonly pid: number }

/** A setting that PostgreSQL ignores, and by which a server tells who started it. */
export const STARTER_SETTING = 'sluice.starter'

export function directoryHolder(dataDirectory: string): DirectoryHolder {
  const file = readPidFile(dataDirectory)
  if (file === undefined) return { kind: 'nobody' }
  const state = processState(file.pid)
  if (state.kind === 'running' && isServerOn(dataDirectory, file.pid, state.commandLine)) {
    const starter = new RegExp(`${STARTER_SETTING}=(\\d+-\\d*)`).exec(state.commandLine)?.[1]
    return { kind: 'server', pid: file.pid, port: file.port, starter }
  }
  return attachedProcesses(file.sharedMemoryId) > 0 ? { kind: 'remains', pid: file.pid } : { kind: 'nobody' }
}

/** A server works in its data directory; where the system does not tell, the command line has to do. */
function isServerOn(dataDirectory: string, pid: number, commandLine: string): boolean {
  if (process.platform === 'linux') {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dataDirectory)
    } catch {
      // Another user's process.
    }
  }
  return /postgres|postmaster/.test(commandLine)
}

/** True once the server takes connections. */
export function serverIsReady(dataDirectory: string, pid: number): boolean {
  const file = readPidFile(dataDirectory)
  return file?.pid === pid && file.ready
}

/**
 * Removes the file that a dead server left. PostgreSQL does so itself, except when the process id
 * answers still: as a zombie, which in a container may stay for good, or as an unrelated process.
 */
export function removeStalePidFile(dataDirectory: string): void {
  if (directoryHolder(dataDirectory).kind === 'nobody')
    rmSync(join(dataDirectory, 'postmaster.pid'), { force: true })
}

/** Lines: pid, data directory, start time, port, socket directory, address, `key id` of shared memory, status. */
function readPidFile(dataDirectory: string): PidFile | undefined {
  let lines: string[]
  try {
    lines = readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8').split('\n')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10))
  if (!Number.isInteger(pid) || pid === 0) return undefined
  const sharedMemoryId = Number.parseInt(lines[6]?.trim().split(/\s+/)[1] ?? '', 10)
  return {
    pid,
    port: Number.parseInt(lines[3] ?? '', 10) || 0,
    sharedMemoryId: Number.isInteger(sharedMemoryId) ? sharedMemoryId : -1,
    ready: lines[7]?.trim() === 'ready',
  }
}

/**
 * PostgreSQL's own interlock: a backend that outlives its server is attached to this segment, and a
 * second server beside it would ruin the data. Columns: key, shmid, perms, size, cpid, lpid, nattch.
 */
function attachedProcesses(sharedMemoryId: number): number {
  if (sharedMemoryId < 0 || process.platform !== 'linux') return 0
  let segments: string
  try {
    segments = readFileSync('/proc/sysvipc/shm', 'utf8')
  } catch {
    return 0
  }
  for (const line of segments.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/)
    if (Number(fields[1]) === sharedMemoryId) return Number(fields[6])
  }
  return 0
}
