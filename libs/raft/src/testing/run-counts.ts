/** What happened in a run, so that one sees that things really broke, and that work was done meanwhile. */
export interface RunCounts {
  events: number
  decisions: number
  /** Writes and swaps that were answered with success. */
  acknowledged: number
  refused: number
  unknown: number
  /** Reads that were answered. */
  reads: number
  elections: number
  /** Accepted by a leader. */
  configurationChanges: number
  snapshotsMade: number
  snapshotsInstalled: number
  compactions: number
  crashes: number
  nodesReplaced: number
  logsLost: number
  groupsRecreated: number
  framesReplayed: number
  framesDamaged: number
  /** Times that a replica went to sleep. */
  sleeps: number
  /** Entries that came from the disk, not from memory. */
  slowReads: number
}

export function noCounts(): RunCounts {
  return {
    events: 0,
    decisions: 0,
    acknowledged: 0,
    refused: 0,
    unknown: 0,
    reads: 0,
    elections: 0,
    configurationChanges: 0,
    snapshotsMade: 0,
    snapshotsInstalled: 0,
    compactions: 0,
    crashes: 0,
    nodesReplaced: 0,
    logsLost: 0,
    groupsRecreated: 0,
    framesReplayed: 0,
    framesDamaged: 0,
    sleeps: 0,
    slowReads: 0,
  }
}

/** Adds to the first. */
export function addCounts(sum: RunCounts, more: RunCounts): void {
  for (const name of Object.keys(sum) as (keyof RunCounts)[]) sum[name] += more[name]
}
