import type { CodecReading, CodecShape } from './codec-probe.js'
import type { Slices } from './slices.js'
import type { WalReading, WalShape } from './wal-probe.js'

/** Parts of the library in a process of their own. */
export interface AloneCalls {
  /** Microseconds of CPU for each proposal. */
  core(batch: number, forMs: number): Slices
  wal(directory: string, shape: WalShape): Promise<WalReading>
  codec(shape: CodecShape, forMs: number): CodecReading
}
