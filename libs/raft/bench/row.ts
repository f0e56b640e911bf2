import { BatchSizes } from './batch-sizes.js'
import type { DiskReading } from './disk-meter.js'
import { Latencies, type PackedLatencies } from './latencies.js'

/** Where a CPU profile of each process goes, when they are wanted. */
export interface BenchContext {
  /** How long each figure is measured, warm-up not included. */
  readonly seconds: number
  /** Leaders that are killed, and as many that are stopped for a while. */
  readonly kills: number
  /** Of this run alone, on the disk to measure. */
  readonly directory: string
  readonly profileDirectory: string | undefined
  say(progress: string): void
}

export interface Quantiles {
  readonly p50Ms: number
  readonly p99Ms: number
}

/** One line of the report. */
export interface Measurement {
  readonly row: string
  readonly what: string
  readonly nodes: number
  /** Undefined where there are none. */
  readonly groups: number | undefined
  readonly inFlight: string
  readonly payload: string
  readonly fsync: boolean
  readonly result: string
  readonly latency: Quantiles | undefined
  /** Of the leader's log, meanwhile. */
  readonly sync: Quantiles | undefined
  /** Entries that went to disk together. */
  readonly batches: string
  readonly notes: string
  readonly target: string | undefined
  /** Undefined where there is no target. */
  readonly isMet: boolean | undefined
  /** Everything again, for programs. */
  readonly figures: Readonly<Record<string, number>>
}

/** A row of the benchmark, which may have several lines. */
export interface Row {
  readonly id: string
  readonly title: string
  run(context: BenchContext): Promise<readonly Measurement[]>
}

export function quantilesOf(packed: PackedLatencies): Quantiles {
  const latencies = Latencies.unpack(packed)
  return { p50Ms: latencies.quantile(0.5), p99Ms: latencies.quantile(0.99) }
}

/** How often the log was made durable in the time that was measured. */
export function syncCount({ syncs }: DiskReading): number {
  return Latencies.unpack(syncs).count
}

export function diskColumns(disk: DiskReading): { readonly sync: Quantiles; readonly batches: string } {
  return { sync: quantilesOf(disk.syncs), batches: new BatchSizes(disk.batches).toString() }
}

export function rate(perSecond: number): string {
  return Math.round(perSecond).toLocaleString('en-US')
}
