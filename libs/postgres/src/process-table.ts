import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** A process as the system sees it. A zombie has ended, but its parent has not asked how. */
export type ProcessState =
  | { readonly kind: 'gone' }
  | { readonly kind: 'zombie' }
  | { readonly kind: 'running'; readonly commandLine: string }

export function processState(pid: number): ProcessState {
  return process.platform === 'linux' ? fromProc(pid) : fromPs(pid)
}

/**
 * Names a process across the reuse of its id: `pid-start`, where start is in clock ticks since boot.
 * Without /proc it is the id alone.
 */
export function processToken(pid: number): string {
  return `${pid}-${process.platform === 'linux' ? (startTicks(pid) ?? '') : ''}`
}

/** True while the very process lives that the token was made for. */
export function tokenIsAlive(token: string): boolean {
  const pid = Number.parseInt(token, 10)
  return processState(pid).kind === 'running' && processToken(pid) === token
}

function fromProc(pid: number): ProcessState {
  const state = statFields(pid)?.[0]
  if (state === undefined || state === 'X') return { kind: 'gone' }
  if (state === 'Z') return { kind: 'zombie' }
  try {
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
    return { kind: 'running', commandLine }
  } catch {
    return { kind: 'gone' }
  }
}

function fromPs(pid: number): ProcessState {
  const { stdout } = spawnSync('/bin/ps', ['-o', 'stat=', '-o', 'args=', '-p', String(pid)], {
    encoding: 'utf8',
  })
  const [, state, commandLine] = /^(\S+)\s+(.*)$/m.exec(stdout.trim()) ?? []
  if (state === undefined || commandLine === undefined) return { kind: 'gone' }
  return state.startsWith('Z') ? { kind: 'zombie' } : { kind: 'running', commandLine }
}

function startTicks(pid: number): string | undefined {
  return statFields(pid)?.[19]
}

/** What follows the command's name in /proc/<pid>/stat; the name itself may hold spaces and brackets. */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}
