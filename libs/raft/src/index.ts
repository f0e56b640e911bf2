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
export { bestSurvivor, lastTermOf, type SurvivorLog, tailOf, type TermStart } from './core/survivor.js'
export { type ForcedConfiguration, type ForceResult } from './core/forced.js'
export { type ConfigurationResult, type ProposeResult } from './core/leader.js'
export { RaftDecodeError, RaftVersionError } from './host/codec.js'
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
export { SnapshotExchange, type SnapshotExchangeOptions } from './snapshot/snapshot-exchange.js'
export { openSnapshotStore, type SnapshotStore } from './snapshot/snapshot-store.js'
export { SnapshotTransferError } from './snapshot/transfer-error.js'
export { type GroupStorage, type LogStore, type LogWrite } from './storage/log-store.js'
export { VolatileStore } from './storage/volatile-store.js'
export {
  WalCorruptError,
  WalDiskFullError,
  WalForeignError,
  WalRangeError,
  WalVersionError,
} from './wal/errors.js'
export { type OpenedLog, openOrReplaceWal } from './wal/open-or-replace.js'
export { openWal, type Wal } from './wal/wal.js'
export { type WalOptions } from './wal/wal-options.js'
export { applyContext, type ApplyContext } from './objects/apply-context.js'
export { ReplicatedCounter } from './objects/batteries/counter.js'
export { ReplicatedDict } from './objects/batteries/dict.js'
export { type Key } from './objects/batteries/key.js'
export { ReplicatedList } from './objects/batteries/list.js'
export { LockManager, type LockManagerOptions } from './objects/batteries/lock-manager.js'
export { type LockAnswer, ReplicatedLockTable } from './objects/batteries/lock-table.js'
export { ReplicatedPriorityQueue } from './objects/batteries/priority-queue.js'
export { ReplicatedQueue } from './objects/batteries/queue.js'
export { ReplicatedSet } from './objects/batteries/set.js'
export { defineReplicated, replicated, type ReplicatedOptions } from './objects/definition.js'
export {
  CodeVersionError,
  ReplicatedDecodeError,
  ReplicatedDefinitionError,
  ReplicatedMethodError,
  SessionExpiredError,
  UnsupportedValueError,
} from './objects/errors.js'
export { type CallOptions, type Replicated } from './objects/handle.js'
export { type Capturable } from './objects/object-state.js'
export { type CommandSink, ReplicatedMachine } from './objects/replicated-machine.js'
export { type RetryOptions, SessionClient } from './objects/session-client.js'
export { type SessionLimits } from './objects/session-table.js'
export { askNode } from './node/admin-client.js'
export { type AdminRequest, type AdminResponse } from './node/admin-protocol.js'
export {
  AddressCollisionError,
  BindError,
  CommandFailedError,
  CommandTooLargeError,
  type FailReason,
  ForceRecoveryError,
  IdentityError,
  InvalidConfigError,
  SyncObjectError,
} from './node/errors.js'
export { forceRecovery } from './node/force-recovery.js'
export { type NodeEvent } from './node/node-event.js'
export { type NodeMachine } from './node/node-machine.js'
export { type NodeStatus, type RoleName } from './node/node-status.js'
export { RaftNode, type RaftNodeOptions } from './node/raft-node.js'
export { SyncObject, type SyncObjectOptions } from './node/sync-object.js'
export {
  DEFAULT_SYNC_OBJECT_CONFIG,
  type SyncObjectConfig,
  validateConfig,
} from './node/sync-object-config.js'
export { type SyncMachine } from './node/sync-machine.js'
export { TcpTransport, type TransportEvents } from './transport/tcp-transport.js'
export { type TransportTls } from './transport/tls.js'
export { RefusedError, RemoteError, TransportError } from './transport/transport-error.js'
export { type TcpTransportOptions } from './transport/transport-options.js'
export { UtilityConnection } from './transport/utility-connection.js'
