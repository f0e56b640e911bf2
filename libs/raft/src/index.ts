export {
  type Configuration,
  type Entry,
  EntryKind,
  type LogIndex,
  type NodeId,
  type RaftGroupId,
  Role,
  type SnapshotMeta,
  type Term,
} from './core/types.js'
export { type ConfigurationChange, decodeConfiguration, encodeConfiguration } from './core/configuration.js'
export { type ConfigurationResult, type ProposeResult } from './core/leader.js'
export { RaftDecodeError } from './host/codec.js'
export { type FramePriority, type RaftTransport } from './host/outbox.js'
export { RaftGroup } from './host/raft-group.js'
export {
  DEFAULT_TIMINGS,
  type GroupSettings,
  RaftHost,
  type RaftHostOptions,
  type RaftTimings,
} from './host/raft-host.js'
export {
  type GroupState,
  type SnapshotCarrier,
  type SnapshotSource,
  type SnapshotTransfer,
  type StateMachine,
} from './host/state-machine.js'
export { type TurnScheduler } from './host/turn-scheduler.js'
export { type ReadOutcome } from './host/waiting-reads.js'
export { type GroupStorage, type LogStore, type LogWrite } from './storage/log-store.js'
export { VolatileStore } from './storage/volatile-store.js'
export { WalCorruptError, WalDiskFullError, WalForeignError } from './wal/errors.js'
export { openWal, type Wal, type WalOptions } from './wal/wal.js'
