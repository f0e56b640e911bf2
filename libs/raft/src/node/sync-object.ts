import type { Clock, Random } from '@sluice/foundation'
import type { GroupState } from '../host/state-machine.js'
import type { AdminRequest } from './admin-protocol.js'
import { awaitUnless } from './await-unless.js'
import { SYNC_GROUP_ID, SYNC_GROUP_NAME } from './data-directory.js'
import { CommandFailedError, isFailReason } from './errors.js'
import type { HostedGroup } from './hosted-group.js'
import { parseNodeAddress } from './node-address.js'
import type { NodeEvent } from './node-event.js'
import type { NamesGiven } from './node-names.js'
import { type NodeStatus, type RoleName, roleName, statusValues } from './node-status.js'
import type { OpenNodeTransport } from './node-transport.js'
import { RaftNode } from './raft-node.js'
import { type SyncObjectConfig, validateConfig } from './sync-object-config.js'
import type { SyncMachine } from './sync-machine.js'

export interface SyncObjectOptions extends NamesGiven {
  readonly machine: SyncMachine
  /** What differs from the defaults. */
  readonly config?: Partial<SyncObjectConfig>
  /** Once: everything that was committed when this node started is applied here. */
  readonly onReady?: () => void
  readonly onStateChanged?: (role: RoleName, before: RoleName) => void
  readonly onCodeVersionChanged?: (version: number, before: number) => void
  readonly onEvent?: (event: NodeEvent) => void
  /** See RaftNodeOptions. */
  readonly onFatal?: (error: Error) => void
  readonly clock?: Clock
  readonly random?: Random
  readonly openTransport?: OpenNodeTransport
}

export interface WaitOptions {
  readonly signal?: AbortSignal
}

/**
 * Objects that are the same on all nodes of a cluster: PySyncObj's ease over this library's log. Methods
 * of the replicated objects may be called on any node; each call is carried out everywhere, in the same
 * order, and gives the result of the own node. `docs/pysyncobj.md` has PySyncObj's name of everything.
 */
export class SyncObject {
  readonly #node: RaftNode
  readonly #hosted: HostedGroup
  readonly #machine: SyncMachine
  readonly #bound: Promise<void>
  readonly #onTick = new Set<() => void>()

  /**
   * Reads the data directory and begins to listen and connect; does not wait for either to succeed.
   * @throws InvalidConfigError, InvalidAddressError, AddressCollisionError, IdentityError, WalError
   */
  static async open(options: SyncObjectOptions): Promise<SyncObject> {
    const { machine, onReady, onStateChanged, onCodeVersionChanged, ...rest } = options
    const node = await RaftNode.open({ ...rest, config: validateConfig(options.config) })
    try {
      const late: { sync?: SyncObject } = {}
      machine.attach({
        submit: (payload, submitOptions) => late.sync!.submit(payload, submitOptions),
        barrier: (barrierOptions) => late.sync!.barrier(barrierOptions),
      })
      machine.onCodeVersionChanged = onCodeVersionChanged
      const hosted = await node.openGroup({
        id: SYNC_GROUP_ID,
        name: SYNC_GROUP_NAME,
        machine,
        setVersion: (version) => machine.setCodeVersion(version),
        versions: () => ({ self: machine.selfCodeVersion, enabled: machine.codeVersion }),
        ...(onStateChanged === undefined ? {} : { onStateChanged: byName(onStateChanged) }),
      })
      late.sync = new SyncObject(node, hosted, machine)
      if (onReady !== undefined) hosted.ready.then(onReady, () => undefined)
      return late.sync
    } catch (error) {
      await node.destroy()
      throw error
    }
  }

  private constructor(node: RaftNode, hosted: HostedGroup, machine: SyncMachine) {
    this.#node = node
    this.#hosted = hosted
    this.#machine = machine
    this.#bound = node.start()
    // Whoever does not wait for it is told by the status and the events.
    this.#bound.catch(() => undefined)
    node.onTick(() => {
      for (const run of this.#onTick) run()
    })
  }

  get config(): SyncObjectConfig {
    return this.#node.config
  }

  /** `host:port`, or the name of an observer. */
  get selfNode(): string {
    return this.#node.names.name
  }

  /** The other members that have an address. */
  get otherNodes(): readonly string[] {
    return this.#peers('node')
  }

  /** The observers that the group knows, this node excepted. */
  get readonlyNodes(): readonly string[] {
    return this.#peers('observer')
  }

  get isLeader(): boolean {
    return this.#hosted.node.group.isLeader
  }

  /** Address of the leader; `undefined` when none is known. */
  get leader(): string | undefined {
    return this.status().leader
  }

  get role(): RoleName {
    return roleName(this.#hosted.node.group.state.role)
  }

  get term(): number {
    return this.#hosted.node.group.state.term
  }

  /** Entries that are not compacted. */
  get logSize(): number {
    const { log } = this.#hosted.node.group
    return log.lastIndex - log.compactedIndex
  }

  get appliedIndex(): number {
    return this.#hosted.node.group.applied
  }

  get commitIndex(): number {
    return this.#hosted.node.group.commit
  }

  /** This node is connected to a majority of the voters, itself counted where it is one. */
  get hasQuorum(): boolean {
    return this.#hosted.hasQuorum
  }

  /** False for good once everything was heard of that was committed at the start. */
  get isReady(): boolean {
    return this.#hosted.isReady
  }

  /** Connections between nodes are encrypted, by TLS or by the secret. */
  get isEncrypted(): boolean {
    const { tls, secret } = this.config
    return tls !== undefined || secret !== undefined
  }

  /** @throws CommandFailedError DESTROYED, or the signal's reason */
  waitReady(options: WaitOptions = {}): Promise<void> {
    return awaitUnless(this.#hosted.ready, options.signal)
  }

  /** @throws BindError, or the signal's reason. An observer is bound at once. */
  waitBound(options: WaitOptions = {}): Promise<void> {
    return awaitUnless(this.#bound, options.signal)
  }

  /**
   * Has a command of the machine carried out by the group.
   * @throws CommandFailedError, CommandTooLargeError
   */
  submit(payload: Uint8Array, options: WaitOptions = {}): Promise<unknown> {
    return this.#hosted.node.submit(payload, options.signal)
  }

  /**
   * After it, everything that any node was told to be done before the call is to be seen here.
   * @throws CommandFailedError; outcome is always 'no'
   */
  barrier(options: WaitOptions = {}): Promise<void> {
    return this.#hosted.node.barrier(options.signal)
  }

  /** A linearizable read: `view` looks at the state of this node after a barrier. */
  async read<T>(view: () => T, options: WaitOptions = {}): Promise<T> {
    await this.barrier(options)
    return view()
  }

  /** One tick by hand; only where `autoTick` is off. What it starts goes on with the event loop's turns. */
  tick(): void {
    this.#node.tick()
  }

  /** Runs at each tick, after everything else; must not throw. */
  addOnTickCallback(run: () => void): void {
    this.#onTick.add(run)
  }

  removeOnTickCallback(run: () => void): void {
    this.#onTick.delete(run)
  }

  /**
   * Takes a node in: first as a learner, then, once it has caught up, as a voter. Resolves when the
   * learner is committed; the node is started with `join`.
   * @throws CommandFailedError REQUEST_DENIED while another change is on its way, or dynamicMembership is off
   */
  async addNode(address: string): Promise<void> {
    await this.#perform({ kind: 'add', address })
  }

  /** Resolves when the group goes on without the node. @throws CommandFailedError as `addNode` */
  async removeNode(address: string): Promise<void> {
    await this.#perform({ kind: 'remove', address })
  }

  /** Resolves when the node leads. @throws CommandFailedError */
  async transferLeadership(address: string): Promise<void> {
    await this.#perform({ kind: 'transfer', address })
  }

  /** The version of the methods that the group runs. */
  get codeVersion(): number {
    return this.#machine.codeVersion
  }

  /** Has the group run this version, which all nodes must have. @throws CommandFailedError */
  setCodeVersion(version: number): Promise<void> {
    return this.#machine.setCodeVersion(version)
  }

  status(): NodeStatus {
    return this.#hosted.status()
  }

  /** The status with PySyncObj's keys, a line each. */
  printStatus(out: (line: string) => void): void {
    for (const [name, value] of Object.entries(statusValues(this.status())))
      out(`${name}: ${value ?? 'none'}`)
  }

  /** Makes a snapshot and drops the log before it. Resolves when that is done. */
  async forceLogCompaction(): Promise<void> {
    await this.#hosted.node.forceCompaction()
  }

  /** @throws InvalidAddressError */
  isNodeConnected(address: string): boolean {
    return this.#node.transport.link(parseNodeAddress(address).id) === 'connected'
  }

  /**
   * Settles what waits, lets go of disk and network. A leader hands its place over first, unless told
   * not to; that takes an election timeout at most. May be called twice.
   */
  async destroy(options: { readonly handOver?: boolean } = {}): Promise<void> {
    if (options.handOver ?? true) await this.#hosted.handOver()
    await this.#node.destroy()
  }

  async #perform(request: AdminRequest): Promise<void> {
    const response = await this.#hosted.operators.perform(request)
    if (response.kind === 'ok') return
    throw new CommandFailedError(
      isFailReason(response.code) ? response.code : 'REQUEST_DENIED',
      response.outcome,
      response.message,
    )
  }

  #peers(kind: 'node' | 'observer'): readonly string[] {
    return this.status()
      .peers.filter(({ membership }) => (membership === 'observer') === (kind === 'observer'))
      .map(({ address }) => address)
  }
}

function byName(
  told: (role: RoleName, before: RoleName) => void,
): (state: GroupState, before: GroupState) => void {
  return (state, before) => {
    if (state.role !== before.role) told(roleName(state.role), roleName(before.role))
  }
}
