import type { ClusterState, ProcessEntry } from './cluster-file.js'
import { processMarks } from './process-plan.js'
import { processFacts, signalProcess, waitUntilGone } from './process-table.js'

/**
 * True when the process still runs. One that we forked counts only when its command line carries the
 * marks of this cluster: the id may belong to a stranger by now.
 */
export function stillRuns(clusterId: string, { kind, name, pid }: ProcessEntry): boolean {
  const facts = pid === null ? undefined : processFacts(pid)
  if (facts === undefined) return false
  if (kind === 'supervisor' || kind === 'postgres') return true
  const words = facts.command.split(' ')
  return processMarks(clusterId, name).every((mark) => words.includes(mark))
}

/** Processes of an earlier run that outlived their supervisor. PostgreSQL sees to its own. */
export function leftovers(state: ClusterState): ProcessEntry[] {
  return state.processes.filter(
    (entry) => entry.kind !== 'supervisor' && entry.kind !== 'postgres' && stillRuns(state.clusterId, entry),
  )
}

/** Stops them, and kills those that do not stop in time. */
export async function stopLeftovers(entries: readonly ProcessEntry[], timeoutMs: number): Promise<void> {
  const pids = entries.flatMap(({ pid }) => (pid === null ? [] : [pid]))
  for (const pid of pids) signalProcess(pid, 'SIGTERM')
  const left = await waitUntilGone(pids, timeoutMs)
  for (const pid of left) signalProcess(pid, 'SIGKILL')
  await waitUntilGone(left, timeoutMs)
}
