export {
  type Entry,
  EntryKind,
  type LogIndex,
  type NodeId,
  type RaftGroupId,
  Role,
  type Term,
} from './core/types.js'
export { RaftDecodeError } from './host/codec.js'
export { type RaftTransport } from './host/outbox.js'
export {
  type GroupState,
  type ProposeOutcome,
  RaftGroup,
  type ReadOutcome,
  type StateMachine,
} from './host/raft-group.js'
export {
  DEFAULT_TIMINGS,
  type GroupSettings,
  RaftHost,
  type RaftHostOptions,
  type RaftTimings,
} from './host/raft-host.js'
export { WalCorruptError, WalDiskFullError, WalForeignError } from './wal/errors.js'
export { openWal, type Wal, type WalOptions } from './wal/wal.js'
