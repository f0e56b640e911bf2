import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts processor time in ticks of this length, milliseconds. */
const TICK_MS = 10

/**
 * Processor time that a process and everything below it have used, milliseconds. Unlike rates it says the same
 * on a machine that is busy with other things.
 */
export function processorMs(root: number): number {
  const processes = new Map<number, { readonly parent: number; readonly ticks: number }>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      // The name, in brackets, may hold anything; what follows it are numbers.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      // Its own time, and that of children that have ended.
      const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0)
      processes.set(Number(name), { parent: Number(fields[1]), ticks })
    } catch {
      // It has ended meanwhile.
    }
  }
  let ticks = 0
  for (const [pid, process] of processes) if (isBelow(root, pid, processes)) ticks += process.ticks
  return ticks * TICK_MS
}

function isBelow(
  root: number,
  pid: number,
  processes: ReadonlyMap<number, { readonly parent: number }>,
): boolean {
  for (let at: number | undefined = pid; at !== undefined && at > 0; at = processes.get(at)?.parent)
    if (at === root) return true
  return false
}
