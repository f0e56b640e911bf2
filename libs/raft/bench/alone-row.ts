import { join } from 'node:path'
import type { AloneCalls } from './alone-calls.js'
import { Child } from './child.js'
import type { CodecShape } from './codec-probe.js'
import { type BenchContext, diskColumns, type Measurement, quantilesOf, rate, type Row } from './row.js'

const WAL_WARM_UP_MS = 500
const CODEC_SHAPES: readonly CodecShape[] = [
  { kind: 'heartbeat', entries: 0, payloadBytes: 0, messages: 1 },
  { kind: 'heartbeat', entries: 0, payloadBytes: 0, messages: 1000 },
  { kind: 'append', entries: 1, payloadBytes: 100, messages: 1 },
  { kind: 'append', entries: 1, payloadBytes: 100, messages: 1000 },
  { kind: 'append', entries: 256, payloadBytes: 100, messages: 1 },
  { kind: 'append', entries: 1, payloadBytes: 1024, messages: 64 },
]

/** What all of these lines leave out. */
const ALONE = {
  nodes: 1,
  groups: undefined,
  latency: undefined,
  sync: undefined,
  fsync: false,
  batches: '–',
  notes: '',
  target: undefined,
  isMet: undefined,
} as const

export const coreRow: Row = {
  id: 'g',
  title: 'core alone: three replicas in one process, no codec, no disk; CPU time',
  run: (context) =>
    eachAlone(context, 'g', [1, 64, 256], async (child, batch) => {
      context.say(`core, ${batch} proposals at a time`)
      const { median, best } = await child.call('core', batch, context.seconds * 1000)
      return {
        ...ALONE,
        row: 'g',
        what: 'core',
        nodes: 3,
        groups: 1,
        inFlight: String(batch),
        payload: '100 B',
        result: `${median.toFixed(2)} µs/proposal, ${(median * batch).toFixed(1)} µs/round`,
        notes: `best slice ${best.toFixed(2)} and ${(best * batch).toFixed(1)} µs`,
        figures: { usPerProposal: median, usPerProposalBest: best },
      }
    }),
}

export const walRow: Row = {
  id: 'h',
  title: 'write-ahead log alone: appends of one entry, each with its own callback',
  run: (context) =>
    eachAlone(context, 'h', [1, 16, 256, 1024], async (child, concurrent) => {
      context.say(`log, ${concurrent} appends at a time`)
      const reading = await child.call('wal', join(context.directory, `wal-${concurrent}`), {
        concurrent,
        payloadBytes: 100,
        warmUpMs: WAL_WARM_UP_MS,
        measureMs: context.seconds * 1000,
      })
      const perSecond = (reading.appends * 1000) / reading.elapsedMs
      const latency = quantilesOf(reading.latencies)
      const cpuUsPerAppend = reading.cpuUs / reading.appends
      return {
        ...ALONE,
        row: 'h',
        what: 'log',
        groups: 1,
        inFlight: String(concurrent),
        payload: '100 B',
        fsync: true,
        result: `${rate(perSecond)} appends/s`,
        latency,
        ...diskColumns(reading.disk),
        notes: `${cpuUsPerAppend.toFixed(2)} µs of CPU for each append`,
        figures: { perSecond, ...latency, cpuUsPerAppend },
      }
    }),
}

export const codecRow: Row = {
  id: 'i',
  title: 'codec alone; CPU time',
  run: (context) =>
    eachAlone(context, 'i', CODEC_SHAPES, async (child, shape) => {
      const { kind, entries, payloadBytes, messages } = shape
      context.say(`codec, ${messages} × ${kind} with ${entries} entries`)
      const { encode, decode } = await child.call('codec', shape, context.seconds * 1000)
      return {
        ...ALONE,
        row: 'i',
        what: kind,
        inFlight: `${messages} in a frame`,
        payload: entries === 0 ? '–' : `${entries} × ${payloadBytes} B`,
        result: `encode ${encode.median.toFixed(0)} ns, decode ${decode.median.toFixed(0)} ns per message`,
        notes: `best slices ${encode.best.toFixed(0)} and ${decode.best.toFixed(0)} ns`,
        figures: {
          encodeNs: encode.median,
          encodeNsBest: encode.best,
          decodeNs: decode.median,
          decodeNsBest: decode.best,
        },
      }
    }),
}

/** Each in a process of its own: none runs on code that was compiled for another. */
async function eachAlone<T>(
  { profileDirectory }: BenchContext,
  row: string,
  shapes: readonly T[],
  measure: (child: Child<AloneCalls>, shape: T) => Promise<Measurement>,
): Promise<readonly Measurement[]> {
  const measurements: Measurement[] = []
  for (const [i, shape] of shapes.entries()) {
    const name = `${row}-${i + 1}`
    const profile = profileDirectory === undefined ? undefined : { directory: profileDirectory, name }
    const child = new Child<AloneCalls>(name, { program: 'alone-main.js', profile })
    try {
      measurements.push(await measure(child, shape))
    } finally {
      await child.end()
    }
  }
  return measurements
}
