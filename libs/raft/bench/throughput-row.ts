import type { LoadShape } from './closed-loop.js'
import type { MemberLoadReport, MemberUsage } from './member-calls.js'
import { MEMBER_IDS, RaftCluster } from './raft-cluster.js'
import {
  type BenchContext,
  diskColumns,
  type Measurement,
  quantilesOf,
  rate,
  type Row,
  syncCount,
} from './row.js'

const WARM_UP_MS = 2000
const ONE_GROUP_PER_SECOND_MIN = 60_000
const MANY_GROUPS_PER_SECOND_MIN = 20_000
const MANY_GROUPS = 1000

export const oneGroupRow: Row = {
  id: 'c',
  title: 'one group, 256 in flight',
  async run(context) {
    const cluster = await RaftCluster.start(context, { groups: 1, leaders: 'first', name: 'c' })
    try {
      const measurements: Measurement[] = []
      for (const payloadBytes of [100, 1024]) {
        context.say(`one group, 256 in flight of ${payloadBytes} B`)
        const load = await underLoad(context, cluster, { inFlight: 256, payloadBytes })
        measurements.push(
          lineOf([load.report], load.cpu, {
            row: 'c',
            what: 'one group',
            groups: 1,
            inFlight: '256',
            payloadBytes,
            perSecondMin: payloadBytes === 100 ? ONE_GROUP_PER_SECOND_MIN : undefined,
          }),
        )
      }
      return measurements
    } finally {
      await cluster.stop()
    }
  },
}

export const manyGroupsRow: Row = {
  id: 'd',
  title: `${MANY_GROUPS} groups, one message each in flight`,
  async run(context) {
    return [
      await manyGroups(context, 'first', 'one process leads all'),
      await manyGroups(context, 'all', 'each process leads a third'),
    ]
  },
}

async function manyGroups(
  context: BenchContext,
  leaders: 'first' | 'all',
  what: string,
): Promise<Measurement> {
  context.say(`${MANY_GROUPS} groups, ${what}`)
  const cluster = await RaftCluster.start(context, { groups: MANY_GROUPS, leaders, name: `d-${leaders}` })
  try {
    const shape = { ...shapeOf(context), inFlight: 1, payloadBytes: 100 }
    const before = await cluster.usages()
    const reports =
      leaders === 'first'
        ? [await cluster.load(shape)]
        : await Promise.all(MEMBER_IDS.map((id) => cluster.member(id).call('load', shape)))
    const cpu = cpuShares(before, await cluster.usages())
    return lineOf(reports, cpu, {
      row: 'd',
      what,
      groups: MANY_GROUPS,
      inFlight: `1 × ${MANY_GROUPS}`,
      payloadBytes: 100,
      perSecondMin: leaders === 'first' ? MANY_GROUPS_PER_SECOND_MIN : undefined,
    })
  } finally {
    await cluster.stop()
  }
}

async function underLoad(
  context: BenchContext,
  cluster: RaftCluster,
  load: { readonly inFlight: number; readonly payloadBytes: number },
): Promise<{ readonly report: MemberLoadReport; readonly cpu: string }> {
  const before = await cluster.usages()
  const report = await cluster.load({ ...shapeOf(context), ...load })
  return { report, cpu: cpuShares(before, await cluster.usages()) }
}

function shapeOf({ seconds }: BenchContext): Pick<LoadShape, 'warmUpMs' | 'measureMs'> {
  return { warmUpMs: WARM_UP_MS, measureMs: seconds * 1000 }
}

/** Of a core, warm-up included; threads that wait for the disk count too. */
function cpuShares(before: readonly MemberUsage[], after: readonly MemberUsage[]): string {
  const shares = after.map(({ cpuUs, atMs }, i) => {
    const from = before[i]!
    return `${Math.round((cpuUs - from.cpuUs) / 10 / (atMs - from.atMs))} %`
  })
  return `CPU of the nodes ${shares.join(', ')}`
}

interface Line {
  readonly row: string
  readonly what: string
  readonly groups: number
  readonly inFlight: string
  readonly payloadBytes: number
  readonly perSecondMin: number | undefined
}

/** @param reports one for each process under load */
function lineOf(reports: readonly MemberLoadReport[], cpu: string, line: Line): Measurement {
  const perSecond = reports.reduce((sum, { commits, elapsedMs }) => sum + (commits * 1000) / elapsedMs, 0)
  const first = reports[0]!
  const latency = quantilesOf(first.latencies)
  const { perSecondMin } = line
  const syncsPerSecond = (syncCount(first.disk) * 1000) / first.elapsedMs
  return {
    row: line.row,
    what: line.what,
    nodes: 3,
    groups: line.groups,
    inFlight: line.inFlight,
    payload: `${line.payloadBytes} B`,
    fsync: true,
    result: `${rate(perSecond)} commits/s`,
    latency,
    ...diskColumns(first.disk),
    notes: `${syncsPerSecond.toFixed(0)} syncs/s; ${cpu}`,
    target: perSecondMin === undefined ? undefined : `≥ ${rate(perSecondMin)}/s`,
    isMet: perSecondMin === undefined ? undefined : perSecond >= perSecondMin,
    figures: { perSecond, ...latency, syncsPerSecond },
  }
}
