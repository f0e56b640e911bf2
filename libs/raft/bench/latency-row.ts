import { BatchSizes } from './batch-sizes.js'
import type { LoadShape } from './closed-loop.js'
import { Latencies } from './latencies.js'
import type { MemberLoadReport } from './member-calls.js'
import { ModelCluster } from './model-cluster.js'
import { RaftCluster } from './raft-cluster.js'
import {
  type BenchContext,
  diskColumns,
  type Measurement,
  quantilesOf,
  rate,
  type Row,
  syncCount,
} from './row.js'

const RATIO_MAX = 1.5
const WARM_UP_MS = 1000
/** Short, so that what slows the machine for a while slows both. */
const ROUND_MS = 250
const ROUND_WARM_UP_MS = 50
const PAYLOAD_BYTES = 100
/** Enough commits for the compiler, which those with 1 in flight would take minutes to reach. */
const WARMING: LoadShape = { inFlight: 64, payloadBytes: PAYLOAD_BYTES, warmUpMs: 0, measureMs: 2000 }
const MESSAGES_IN_BATCH = 1000
const BATCHES_IN_FLIGHT = 8

/** Rows a and b: the floor model, and ours beside it. */
export const modelRow: Row = {
  id: 'a',
  title: 'the floor model: framed TCP, three processes, write and fdatasync in parallel, no Raft',
  async run(context) {
    const model = await ModelCluster.start(context.directory)
    try {
      const measureMs = context.seconds * 1000
      const measurements: Measurement[] = []
      for (const inFlight of [1, 64]) {
        context.say(`model, ${inFlight} in flight`)
        const shape = { inFlight, payloadBytes: PAYLOAD_BYTES, warmUpMs: WARM_UP_MS, measureMs }
        measurements.push(
          modelLine(await model.load(shape), { what: 'model', inFlight: String(inFlight), messages: 1 }),
        )
      }
      context.say('model, in batches')
      const batches = await model.load({
        inFlight: BATCHES_IN_FLIGHT,
        payloadBytes: PAYLOAD_BYTES * MESSAGES_IN_BATCH,
        warmUpMs: WARM_UP_MS,
        measureMs,
      })
      measurements.push(
        modelLine(batches, {
          what: 'model, in batches',
          inFlight: `${BATCHES_IN_FLIGHT} × ${MESSAGES_IN_BATCH}`,
          messages: MESSAGES_IN_BATCH,
        }),
      )
      return measurements
    } finally {
      await model.stop()
    }
  },
}

export const latencyRow: Row = {
  id: 'b',
  title: 'ours with 1 in flight, and the model, in turn',
  async run(context) {
    const model = await ModelCluster.start(context.directory)
    const ours = await RaftCluster.start(context, { groups: 1, leaders: 'first', name: 'b' })
    try {
      return await compare(context, { model, ours })
    } finally {
      await Promise.all([model.stop(), ours.stop()])
    }
  },
}

/** Both are up all the time, and one of them is under load: a disk that is slow for a while is so for both. */
async function compare(
  context: BenchContext,
  { model, ours }: { readonly model: ModelCluster; readonly ours: RaftCluster },
): Promise<readonly Measurement[]> {
  const shape = { inFlight: 1, payloadBytes: PAYLOAD_BYTES, warmUpMs: ROUND_WARM_UP_MS, measureMs: ROUND_MS }
  const reports: Record<'model' | 'ours', MemberLoadReport[]> = { model: [], ours: [] }
  const ratios: number[] = []
  const rounds = Math.max(2, Math.ceil((context.seconds * 1000) / ROUND_MS))
  context.say('1 in flight: warm-up')
  await model.load(WARMING)
  await ours.load(WARMING)
  context.say(`1 in flight: ${rounds} rounds`)
  for (let round = 0; round < rounds; round++) {
    const ofModel = await model.load(shape)
    const ofOurs = await ours.load(shape)
    reports.model.push(ofModel)
    reports.ours.push(ofOurs)
    ratios.push(quantilesOf(ofOurs.latencies).p50Ms / quantilesOf(ofModel.latencies).p50Ms)
  }
  const base = merged(reports.model)
  const mine = merged(reports.ours)
  const ratio = quantilesOf(mine.latencies).p50Ms / quantilesOf(base.latencies).p50Ms
  ratios.sort((a, b) => a - b)
  const [low, middle, high] = [0.1, 0.5, 0.9].map((share) =>
    ratios[Math.floor(share * (ratios.length - 1))]!.toFixed(2),
  )
  const spread = `median ${middle}, 80 % of them ${low} to ${high}, in ${rounds} rounds of ${ROUND_MS} ms in turn`
  const line = lineOf(mine, { row: 'b', what: 'ours', inFlight: '1', messages: 1 })
  return [
    lineOf(base, { row: 'b', what: 'model', inFlight: '1', messages: 1 }),
    {
      ...line,
      groups: 1,
      result: `${line.result}, **${ratio.toFixed(2)}×** the model's p50`,
      notes: `ratios of the rounds: ${spread}; ${line.notes}`,
      target: `p50 ≤ ${RATIO_MAX}× model`,
      isMet: ratio <= RATIO_MAX,
      figures: { ...line.figures, ratio },
    },
  ]
}

function merged(reports: readonly MemberLoadReport[]): MemberLoadReport {
  const latencies = new Latencies()
  const syncs = new Latencies()
  const batches = new BatchSizes()
  let commits = 0
  let elapsedMs = 0
  let cpuUs = 0
  for (const report of reports) {
    latencies.merge(Latencies.unpack(report.latencies))
    syncs.merge(Latencies.unpack(report.disk.syncs))
    batches.merge(new BatchSizes(report.disk.batches))
    commits += report.commits
    elapsedMs += report.elapsedMs
    cpuUs += report.cpuUs
  }
  return {
    commits,
    elapsedMs,
    cpuUs,
    latencies: latencies.pack(),
    disk: { syncs: syncs.pack(), batches: batches.pack() },
  }
}

interface Line {
  readonly row: string
  readonly what: string
  readonly inFlight: string
  /** In each command. */
  readonly messages: number
}

function modelLine(report: MemberLoadReport, line: Omit<Line, 'row'>): Measurement {
  return lineOf(report, { ...line, row: 'a' })
}

function lineOf(report: MemberLoadReport, { row, what, inFlight, messages }: Line): Measurement {
  const perSecond = (report.commits * messages * 1000) / report.elapsedMs
  const latency = quantilesOf(report.latencies)
  const syncsPerCommit = syncCount(report.disk) / report.commits
  return {
    row,
    what,
    nodes: 3,
    groups: undefined,
    inFlight,
    payload: `${PAYLOAD_BYTES} B`,
    fsync: true,
    result: `${rate(perSecond)} commits/s`,
    latency,
    ...diskColumns(report.disk),
    notes: `leader: ${(report.cpuUs / report.commits).toFixed(0)} µs of CPU and ${syncsPerCommit.toFixed(2)} syncs per commit`,
    target: undefined,
    isMet: undefined,
    figures: { perSecond, ...latency, syncsPerCommit, cpuUsPerCommit: report.cpuUs / report.commits },
  }
}
