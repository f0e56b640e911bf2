import { BUILD_VERSION, deferred, type Deferred, unreachable } from '@sluice/foundation'
import { membersOf } from '../core/configuration.js'
import type { NodeId, RaftGroupId } from '../core/types.js'
import type { GroupState } from '../host/state-machine.js'
import { CommandFailedError } from './errors.js'
import { hasQuorum, statusOf } from './group-status.js'
import type { NodeAddress } from './node-address.js'
import { type GroupEnvironment, NodeGroup } from './node-group.js'
import type { NodeMachine } from './node-machine.js'
import type { NodeNames } from './node-names.js'
import { type NodeRequest, NodeRequestKind } from './node-request.js'
import type { NodeStatus } from './node-status.js'
import { ObserverDesk } from './observer-desk.js'
import { OperatorDesk } from './operator-desk.js'

export interface GroupOptions {
  readonly id: RaftGroupId
  /** At most 1024 bytes. */
  readonly name: string
  readonly machine: NodeMachine
  /** Has a code version set by a command of the group. */
  readonly setVersion: (version: number) => Promise<void>
  /** The highest version that this node can run, and the one that the group runs. */
  readonly versions: () => { readonly self: number; readonly enabled: number }
  readonly onStateChanged?: (state: GroupState, before: GroupState) => void
}

export interface HostedGroupEnvironment extends GroupEnvironment {
  readonly names: NodeNames
  readonly uuid: Uint8Array
  /** As they were when the group began. */
  readonly firstMembers: readonly NodeAddress[]
  readonly uptimeMs: () => number
}

/** A group of a node with everybody who is served: callers, operators, observers and other nodes. */
export class HostedGroup {
  readonly node: NodeGroup
  readonly operators: OperatorDesk
  readonly #environment: HostedGroupEnvironment
  readonly #observers: ObserverDesk
  readonly #versions: GroupOptions['versions']
  readonly #ready: Deferred<undefined> = deferred<undefined>()
  #isReady = false
  #isClosed = false

  static async open(options: GroupOptions, environment: HostedGroupEnvironment): Promise<HostedGroup> {
    const late: { hosted?: HostedGroup } = {}
    const node = await NodeGroup.open(
      {
        id: options.id,
        uuid: environment.uuid,
        name: options.name,
        machine: options.machine,
        members: environment.firstMembers,
        contacts: environment.names.contacts,
        onStateChanged: (state, before) => {
          late.hosted?.operators.stateChanged()
          options.onStateChanged?.(state, before)
        },
      },
      environment,
    )
    late.hosted = new HostedGroup(node, options, environment)
    return late.hosted
  }

  private constructor(node: NodeGroup, options: GroupOptions, environment: HostedGroupEnvironment) {
    const { transport, names, config, clock } = environment
    this.node = node
    this.#environment = environment
    this.#versions = options.versions
    this.operators = new OperatorDesk({
      group: node,
      transport,
      address: names.address,
      status: () => this.status(),
      setVersion: options.setVersion,
      dynamicMembership: config.dynamicMembership,
      waitLeader: config.commandsWaitLeader,
      timeoutMs: config.quorumTimeoutMs,
    })
    this.#observers = new ObserverDesk({
      group: node,
      transport,
      clock,
      self: names.id,
      isObserver: names.address === undefined,
      contacts: names.contacts.map(({ id }) => id),
      goneMs: config.connectionTimeoutMs,
    })
    // Whoever does not wait for it need not hear of it.
    this.#ready.promise.catch(() => undefined)
  }

  /** Everything that was committed when it was first asked is applied here. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** Resolves once this node is ready; rejects when it is closed before. */
  get ready(): Promise<undefined> {
    return this.#ready.promise
  }

  /** The configuration here says who is in the group, this node among them. */
  get knowsItself(): boolean {
    return membersOf(this.node.group.configuration).includes(this.#environment.names.id)
  }

  get hasQuorum(): boolean {
    return hasQuorum(this.node, this.#statusContext())
  }

  status(): NodeStatus {
    return statusOf(this.node, this.#statusContext())
  }

  /** The node speaks: being ready can be found out. */
  start(): void {
    void this.#becomeReady()
  }

  tick(): void {
    if (this.#isClosed) return
    this.node.tick()
    this.#observers.tick()
  }

  /** A request of another node. */
  answer(from: NodeId, request: NodeRequest): Promise<Uint8Array> {
    switch (request.kind) {
      case NodeRequestKind.COMMANDS:
        return Promise.resolve(this.node.receiveForwarded(request.body))
      case NodeRequestKind.ADMIN:
        return this.operators.answerPeer(request.body)
      case NodeRequestKind.OBSERVE:
        return this.#observers.answer(from)
      default:
        return unreachable(request.kind)
    }
  }

  /** A leader that is about to end lets the voter take over that has the most of the log. */
  async handOver(): Promise<void> {
    const { group } = this.node
    const { names, config } = this.#environment
    if (this.#isClosed || !group.isLeader) return
    const next = group.configuration.voters
      .filter((id) => id !== names.id && group.progress(id)?.recentActive === true)
      .sort((a, b) => (group.progress(b)?.match ?? 0) - (group.progress(a)?.match ?? 0))[0]
    if (next === undefined || !group.transferLeadership(next)) return
    await this.operators.followed(next, config.electionMinMs)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.operators.close()
    this.#ready.reject(new CommandFailedError('DESTROYED', 'no'))
    await this.node.close()
  }

  async #becomeReady(): Promise<void> {
    while (!this.#isReady && !this.#isClosed)
      try {
        await this.node.barrier()
        this.#isReady = true
        this.#ready.resolve(undefined)
      } catch (error) {
        if (!(error instanceof CommandFailedError)) throw error
      }
  }

  #statusContext(): Parameters<typeof statusOf>[1] {
    const { names, transport, uptimeMs } = this.#environment
    const { self, enabled } = this.#versions()
    return {
      version: BUILD_VERSION,
      revision: '',
      self: { id: names.id, name: names.name },
      transport,
      isReady: this.#isReady,
      uptimeMs: uptimeMs(),
      selfCodeVersion: self,
      enabledCodeVersion: enabled,
    }
  }
}
