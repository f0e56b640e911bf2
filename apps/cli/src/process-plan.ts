import type { ProcessKind } from './cluster-file.js'

/** How one process of the cluster is started: everything that the supervisor needs to know of it. */
export interface ProcessPlan {
  readonly name: string
  readonly kind: Exclude<ProcessKind, 'supervisor' | 'postgres'>
  readonly id: number
  readonly host: string
  readonly port: number
  /** Absolute path of the JavaScript file to run. */
  readonly script: string
  /** What the process does with them is its own affair; they also mark it as ours in the process table. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Answers 200 once the process serves. */
  readonly readyPath: string
}

/** Marks a process as one of this cluster, so that a leftover is told from a stranger with its id. */
export function processMarks(clusterId: string, name: string): readonly string[] {
  return [`--cluster=${clusterId}`, `--name=${name}`]
}
