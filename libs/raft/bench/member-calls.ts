import type { LoadReport, LoadShape } from './closed-loop.js'
import type { DiskReading } from './disk-meter.js'

export interface MemberSettings {
  /** 1 to 3. */
  readonly id: number
  readonly directory: string
  /** Where to listen on this machine; 0 is any port. */
  readonly port: number
  /** How often this node was started. */
  readonly bootEpoch: number
  /** Frames are opened to count the messages in them. */
  readonly countsMessages: boolean
}

/** Since the process started, or of now. */
export interface MemberUsage {
  readonly atMs: number
  readonly cpuUs: number
  readonly rssBytes: number
  /** In use, garbage included. */
  readonly heapBytes: number
  /** Taken from the system for the heap. */
  readonly heapTotalBytes: number
  /** Of array buffers, outside the heap. */
  readonly buffersBytes: number
  readonly framesSent: number
  /** Counted when that is wanted. */
  readonly messagesSent: number
  readonly bytesSent: number
  readonly awakeGroups: number
}

export interface MemberLoadReport extends LoadReport {
  readonly disk: DiskReading
}

/** What a member tells without being asked. */
export interface MemberEvent {
  /** It was elected, and the first command under it is committed and applied. */
  readonly kind: 'first-commit'
  readonly id: number
  readonly term: number
}

/** A node of the library, in a process of its own. */
export interface MemberCalls {
  /** Opens the log and listens; returns the port. */
  start(settings: MemberSettings): Promise<number>
  /** Returns when every peer is connected. */
  connect(peers: readonly { readonly id: number; readonly port: number }[]): Promise<void>
  openGroups(count: number): void
  /** Returns when the log has the files for what comes next. */
  settle(): Promise<void>
  /** Begins to tick. */
  tick(): void
  /** Returns when this node leads these groups; nothing ticks yet. */
  lead(groups: readonly number[]): Promise<void>
  /** Returns when all groups are quiesced. */
  quiesce(): Promise<void>
  /** On all groups that this node leads. */
  load(shape: LoadShape): Promise<MemberLoadReport>
  /** From now on, whenever this node leads group 1, it keeps so many commands in flight, and tells of the first commit. */
  serveWhenLeading(shape: { readonly inFlight: number; readonly payloadBytes: number }): void
  /** Of group 1. */
  state(): { readonly isLeader: boolean; readonly applied: number }
  collectGarbage(): void
  /** Since the process started, or its last load. */
  disk(): DiskReading
  usage(): MemberUsage
}
