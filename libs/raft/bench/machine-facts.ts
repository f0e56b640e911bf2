import { open, statfs } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { Latencies } from './latencies.js'
import { type Quantiles, quantilesOf } from './row.js'

const PROBES = 200
const PROBE_BYTES = 4096

export interface MachineFacts {
  readonly node: string
  readonly cores: number
  readonly model: string
  readonly memoryBytes: number
  readonly system: string
  readonly fileSystem: string
  /** Of 4 KiB each, when nothing else of this run goes on. */
  readonly idleSync: Quantiles
  /** Of one minute. */
  readonly load: { readonly before: number; readonly after: number }
}

/** As they are before a run; `load.after` is as `load.before`. */
export async function machineFacts(directory: string): Promise<MachineFacts> {
  const load = loadavg()[0]!
  return {
    node: process.version,
    cores: availableParallelism(),
    model: cpus()[0]?.model.trim() ?? 'unknown',
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    fileSystem: fileSystemName((await statfs(directory)).type),
    idleSync: await probeDisk(join(directory, 'probe')),
    load: { before: load, after: load },
  }
}

export function withLoadAfter(facts: MachineFacts): MachineFacts {
  return { ...facts, load: { before: facts.load.before, after: loadavg()[0]! } }
}

/** Into a file that is as large already, as those of the log are. */
async function probeDisk(path: string): Promise<Quantiles> {
  const latencies = new Latencies()
  const file = await open(path, 'w')
  try {
    const bytes = new Uint8Array(PROBE_BYTES).fill(1)
    await file.write(new Uint8Array(PROBE_BYTES * PROBES))
    await file.sync()
    for (let i = 0; i < PROBES; i++) {
      const startedMs = performance.now()
      await file.write(bytes, 0, bytes.length, i * PROBE_BYTES)
      await file.datasync()
      latencies.record(performance.now() - startedMs)
    }
  } finally {
    await file.close()
  }
  return quantilesOf(latencies.pack())
}

/** Of Linux's statfs(2); on a file system in memory a sync costs nothing, and says so. */
function fileSystemName(magic: number): string {
  const names: Readonly<Record<number, string>> = {
    0xef53: 'ext4',
    0x58465342: 'xfs',
    0x9123683e: 'btrfs',
    0x01021994: 'tmpfs (a sync does nothing there)',
    0x794c7630: 'overlayfs',
  }
  return names[magic] ?? `a file system of type 0x${magic.toString(16)}`
}
