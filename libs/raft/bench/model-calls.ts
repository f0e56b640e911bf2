import type { LoadShape } from './closed-loop.js'
import type { MemberLoadReport } from './member-calls.js'

/** One process of the floor model. */
export interface ModelCalls {
  /** Listens, writes what it is sent and answers; returns the port. */
  follow(path: string): Promise<number>
  /** Connects with the followers. */
  lead(path: string, ports: readonly number[]): Promise<void>
  load(shape: LoadShape): Promise<MemberLoadReport>
}
