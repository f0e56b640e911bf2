import { delay } from '@sluice/foundation'
import type { DiskReading } from './disk-meter.js'
import type { MemberUsage } from './member-calls.js'
import { MEMBER_IDS, RaftCluster } from './raft-cluster.js'
import { diskColumns, type Measurement, type Row } from './row.js'

const GROUPS = 10_000
const SECONDS_MIN = 20
const CPU_PERCENT_MAX = 2
const BYTES_MAX = 100 * 1024 * 1024
/**
 * V8 keeps the room that a burst of new objects needed until a collection finds that little was made since the
 * one before. By itself it looks after minutes in which nothing happens.
 */
const QUIET_MS = 6000
const SETTLE_MS = 2000

export const idleRow: Row = {
  id: 'e',
  title: `${GROUPS} idle groups, and none`,
  async run(context) {
    const measurements: Measurement[] = []
    let bareRssBytes: number | undefined
    for (const groups of [0, GROUPS]) {
      context.say(`${groups} idle groups: start`)
      const cluster = await RaftCluster.start(context, {
        groups,
        leaders: 'all',
        name: `e-${groups}`,
        countsMessages: true,
      })
      try {
        for (const id of MEMBER_IDS) await cluster.member(id).call('quiesce')
        for (const id of MEMBER_IDS) await cluster.member(id).call('collectGarbage')
        await delay(QUIET_MS)
        for (const id of MEMBER_IDS) await cluster.member(id).call('collectGarbage')
        // The last writes are sealed, and what was freed goes back to the system.
        await delay(SETTLE_MS)
        const seconds = Math.max(SECONDS_MIN, context.seconds)
        context.say(`${groups} idle groups: ${seconds} s`)
        const before = await cluster.usages()
        await delay(seconds * 1000)
        const after = await cluster.usages()
        const disk = await cluster.member(1).call('disk')
        measurements.push(lineOf({ groups, before, after, disk, bareRssBytes }))
        bareRssBytes ??= meanRssBytes(after)
      } finally {
        await cluster.stop()
      }
    }
    return measurements
  },
}

interface Reading {
  readonly groups: number
  readonly before: readonly MemberUsage[]
  readonly after: readonly MemberUsage[]
  /** Of node 1, its start included. */
  readonly disk: DiskReading
  /** Of a node without groups, once that was measured. */
  readonly bareRssBytes: number | undefined
}

function meanRssBytes(usages: readonly MemberUsage[]): number {
  return usages.reduce((sum, { rssBytes }) => sum + rssBytes, 0) / usages.length
}

function lineOf({ groups, before, after, disk, bareRssBytes }: Reading): Measurement {
  const seconds = (after[0]!.atMs - before[0]!.atMs) / 1000
  const cpuPercents = after.map(({ cpuUs }, i) => (cpuUs - before[i]!.cpuUs) / 1e4 / seconds)
  const perSecond = (count: (usage: MemberUsage) => number): number =>
    after.reduce((sum, usage, i) => sum + count(usage) - count(before[i]!), 0) / seconds
  const cpuPercent = Math.max(...cpuPercents)
  const rssBytes = Math.max(...after.map((usage) => usage.rssBytes))
  const heapBytes = Math.max(...after.map((usage) => usage.heapBytes))
  const heapTotalBytes = Math.max(...after.map((usage) => usage.heapTotalBytes))
  const buffersBytes = Math.max(...after.map((usage) => usage.buffersBytes))
  const messagesPerSecond = perSecond(({ messagesSent }) => messagesSent)
  const framesPerSecond = perSecond(({ framesSent }) => framesSent)
  const bytesPerSecond = perSecond(({ bytesSent }) => bytesSent)
  const awake = after.reduce((sum, usage) => sum + usage.awakeGroups, 0)
  const isJudged = groups > 0
  const addedBytes = meanRssBytes(after) - (bareRssBytes ?? meanRssBytes(after))
  return {
    row: 'e',
    what: groups === 0 ? 'no groups' : 'idle groups, each process leads a third',
    nodes: 3,
    groups,
    inFlight: '0',
    payload: '–',
    fsync: true,
    result:
      `CPU of a core ${cpuPercents.map((percent) => `${percent.toFixed(2)} %`).join(', ')}; ` +
      `memory ${after.map((usage) => mebibytes(usage.rssBytes)).join(', ')} resident`,
    latency: undefined,
    ...diskColumns(disk),
    notes:
      `${mebibytes(addedBytes)} more than without groups; at most ${mebibytes(heapBytes)} of heap in use of ${mebibytes(heapTotalBytes)}, and ${mebibytes(buffersBytes)} of buffers; ` +
      `over ${seconds.toFixed(0)} s; all nodes together: ${messagesPerSecond.toFixed(1)} messages/s of groups, ` +
      `${framesPerSecond.toFixed(1)} frames/s, ${bytesPerSecond.toFixed(0)} B/s on the wire; ${awake} groups awake at the end`,
    target: isJudged ? `< ${CPU_PERCENT_MAX} %, < 100 MiB resident` : undefined,
    isMet: isJudged ? cpuPercent < CPU_PERCENT_MAX && rssBytes < BYTES_MAX : undefined,
    figures: {
      cpuPercent,
      rssBytes,
      heapBytes,
      heapTotalBytes,
      buffersBytes,
      messagesPerSecond,
      framesPerSecond,
      bytesPerSecond,
    },
  }
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`
}
