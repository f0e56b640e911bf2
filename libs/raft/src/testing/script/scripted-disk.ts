import type { HardState, LogIndex, RaftOutput } from '../../core/types.js'
import type { MemoryLog } from '../../storage/memory-log.js'

/** What a node stores: as it was handed over, and as it would be found after a crash. */
export class ScriptedDisk {
  /** Everything that was handed over. */
  #log: MemoryLog
  /** What is synced. */
  #syncedLog: MemoryLog
  #syncedState: HardState
  readonly #unsynced: RaftOutput[] = []

  constructor(log: MemoryLog, hardState: HardState) {
    this.#syncedLog = log
    this.#syncedState = hardState
    this.#log = log.clone()
  }

  get log(): MemoryLog {
    return this.#log
  }

  get syncedLog(): MemoryLog {
    return this.#syncedLog
  }

  get syncedState(): HardState {
    return this.#syncedState
  }

  write(output: RaftOutput): void {
    this.#log.write(output)
    this.#unsynced.push(output)
  }

  /** The oldest write becomes durable. */
  sync(): void {
    const output = this.#unsynced.shift()
    if (output === undefined) return
    this.#syncedLog.write(output)
    this.#syncedState = output.hardState ?? this.#syncedState
  }

  /** What is applied is durable, so both logs have it, unless a snapshot that is not synced stands for it. */
  compact(index: LogIndex): void {
    if (index <= this.#log.compactedIndex) return
    this.#log.compact(index)
    this.#syncedLog.compact(index)
  }

  /** Writes that were not synced are gone, but for the oldest `kept`, which the disk had taken already. */
  crash(kept: number): void {
    for (let i = 0; i < kept; i++) this.sync()
    this.#unsynced.length = 0
    this.#log = this.#syncedLog.clone()
  }
}
