import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { platform } from 'node:os'
import { delay } from '@sluice/foundation'

/** What the operating system knows of a process; undefined when there is none of that id. */
export interface ProcessFacts {
  /** The command line, its words parted by spaces. */
  readonly command: string
  /** Tells two processes apart that had the same id one after the other. */
  readonly startedAt: string
}

/** A process that ended but was not collected by its parent counts as gone. */
export function processFacts(pid: number): ProcessFacts | undefined {
  return platform() === 'linux' ? fromProc(pid) : fromPs(pid)
}

export function isAlive(pid: number): boolean {
  return processFacts(pid) !== undefined
}

/** Waits until none of the processes is alive; gives those that still are after `timeoutMs`. */
export async function waitUntilGone(pids: readonly number[], timeoutMs: number): Promise<number[]> {
  const limit = performance.now() + timeoutMs
  for (;;) {
    const left = pids.filter(isAlive)
    if (left.length === 0 || performance.now() >= limit) return left
    await delay(25)
  }
}

/** Sends a signal; a process that is gone already is no error. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function fromProc(pid: number): ProcessFacts | undefined {
  try {
    // The name in parentheses may hold spaces; what follows it are the state (field 3) and numbers.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
    return { command, startedAt: fields[19] ?? '' }
  } catch {
    return undefined
  }
}

function fromPs(pid: number): ProcessFacts | undefined {
  try {
    const text = execFileSync('ps', ['-o', 'stat=,lstart=,command=', '-p', String(pid)], {
      encoding: 'utf8',
    }).trim()
    const parts = /^(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+(.*)$/s.exec(text)
    if (parts === null || parts[1]!.startsWith('Z')) return undefined
    return { command: parts[3]!, startedAt: parts[2]! }
  } catch {
    return undefined
  }
}
