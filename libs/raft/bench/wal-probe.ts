import { mkdir } from 'node:fs/promises'
import { deferred, invariant } from '@sluice/foundation'
import { type Entry, EntryKind, openWal, type RaftGroupId, type Wal } from '@sluice/raft'
import { type DiskReading, DiskMeter } from './disk-meter.js'
import { nodeFiles } from './internals.js'
import { until } from './until.js'
import { Latencies, type PackedLatencies } from './latencies.js'

const GROUP = 1 as RaftGroupId
const COMPACT_ABOVE_ENTRIES = 65_536

export interface WalShape {
  /** Appends that wait at the same time, each of one entry and with a callback of its own. */
  readonly concurrent: number
  readonly payloadBytes: number
  readonly warmUpMs: number
  readonly measureMs: number
}

export interface WalReading {
  readonly appends: number
  readonly elapsedMs: number
  readonly latencies: PackedLatencies
  readonly disk: DiskReading
  readonly cpuUs: number
}

/** The log alone, with one group: whoever appends appends again as soon as it is durable. */
export class WalProbe {
  readonly #wal: Wal
  readonly #meter: DiskMeter
  #next = 1

  private constructor(wal: Wal, meter: DiskMeter) {
    this.#wal = wal
    this.#meter = meter
  }

  static async open(directory: string): Promise<WalProbe> {
    await mkdir(directory, { recursive: true })
    const meter = new DiskMeter()
    const wal = await openWal({
      directory,
      nodeUuid: new Uint8Array(16).fill(1),
      files: meter.files(nodeFiles),
      onFatal: (error) => {
        throw error
      },
    })
    await until(() => meter.unfilledMs > 500, 'no file of the log is filled any more')
    wal.createGroup(GROUP, new Uint8Array(16).fill(1), 'probe')
    return new WalProbe(wal, meter)
  }

  async run({ concurrent, payloadBytes, warmUpMs, measureMs }: WalShape): Promise<WalReading> {
    const latencies = new Latencies()
    const store = this.#meter.store(this.#wal)
    const drained = deferred<undefined>()
    const fromMs = performance.now() + warmUpMs
    const toMs = fromMs + measureMs
    let cpuFrom: NodeJS.CpuUsage | undefined
    let reading: Omit<WalReading, 'latencies'> | undefined
    let inFlight = 0
    const append = (): void => {
      const startedMs = performance.now()
      const entry: Entry = {
        index: this.#next++,
        term: 1,
        kind: EntryKind.COMMAND,
        data: Buffer.allocUnsafe(payloadBytes),
      }
      inFlight++
      store.append([{ group: GROUP, entries: [entry] }], () => {
        const nowMs = performance.now()
        inFlight--
        if (nowMs < toMs) {
          if (cpuFrom !== undefined) latencies.record(nowMs - startedMs)
          else if (nowMs >= fromMs) {
            this.#meter.clear()
            cpuFrom = process.cpuUsage()
          }
          append()
          return
        }
        if (reading === undefined) {
          const { user, system } = process.cpuUsage(cpuFrom)
          reading = {
            appends: latencies.count,
            elapsedMs: nowMs - fromMs,
            cpuUs: user + system,
            disk: this.#meter.read(),
          }
        }
        if (inFlight === 0) drained.resolve(undefined)
      })
      this.#compact()
    }
    for (let i = 0; i < concurrent; i++) append()
    await drained.promise
    invariant(reading !== undefined, 'a reading is taken before the last append is over')
    return { ...reading, latencies: latencies.pack() }
  }

  close(): Promise<void> {
    return this.#wal.close()
  }

  #compact(): void {
    const log = this.#wal.group(GROUP)!
    const index = log.lastIndex - COMPACT_ABOVE_ENTRIES / 2
    if (log.lastIndex - log.compactedIndex > COMPACT_ABOVE_ENTRIES) this.#wal.compact(GROUP, index)
  }
}
