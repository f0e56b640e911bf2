import type { LogIndex, Term } from '../core/types.js'

/** Where a command stands, the same on every node. */
export interface CommandContext {
  readonly index: LogIndex
  readonly term: Term
  /** The leader's wall time when it took the command, milliseconds since 1970 UTC. Never goes back. */
  readonly timeMs: number
}

/** State as of one moment, read while later commands are carried out. */
export interface MachineCapture {
  /** At most 1 MiB each. */
  chunks(): AsyncIterable<Uint8Array>
  release(): void
}

/** What a node replicates. The same commands in the same order give the same state and results everywhere. */
export interface NodeMachine {
  /** Carries out a committed command. Never throws: a failure is a result. */
  apply(payload: Uint8Array, context: CommandContext): unknown
  /** The state as of now. */
  capture(): MachineCapture
  /** Replaces the state by a captured one. */
  restore(chunks: AsyncIterable<Uint8Array>): Promise<void>
}
