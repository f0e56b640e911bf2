import { messageOf, unreachable } from '@sluice/foundation'
import { type NodeId, Role } from '../core/types.js'
import {
  type AdminRequest,
  type AdminResponse,
  decodeAdminRequest,
  decodeAdminResponse,
  encodeAdminRequest,
  encodeAdminResponse,
} from './admin-protocol.js'
import { CommandFailedError, SyncObjectError } from './errors.js'
import type { ChangeOutcome } from './membership-desk.js'
import { type NodeAddress, parseNodeAddress } from './node-address.js'
import type { NodeGroup } from './node-group.js'
import { encodeNodeRequest, NodeRequestKind } from './node-request.js'
import { type NodeStatus, statusValues } from './node-status.js'
import type { NodeTransport } from './node-transport.js'

export interface OperatorDeskParts {
  readonly group: NodeGroup
  readonly transport: NodeTransport
  /** Of this node; `undefined` for an observer. */
  readonly address: NodeAddress | undefined
  readonly status: () => NodeStatus
  readonly setVersion: (version: number) => Promise<void>
  readonly dynamicMembership: boolean
  /** Without a leader a request waits for one, as commands do. */
  readonly waitLeader: boolean
  /** A change of the membership, or of the leader, that takes longer is reported as unknown. */
  readonly timeoutMs: number
}

interface Transfer {
  readonly to: NodeId
  readonly done: (reached: boolean) => void
}

/** A leader that loses its place while it is asked is asked for again so often. */
const HOPS_MAX = 3

/** Answers what operators, and the façade, ask of a group; passes on to the leader what only it can do. */
export class OperatorDesk {
  readonly #parts: OperatorDeskParts
  readonly #transfers = new Set<Transfer>()

  constructor(parts: OperatorDeskParts) {
    this.#parts = parts
  }

  /** A request from an operator's connection. Never rejects. */
  async answerOperator(payload: Uint8Array): Promise<Uint8Array> {
    try {
      const request = decodeAdminRequest(payload)
      const self = this.#parts.address?.text
      if (request.kind === 'remove' && parseNodeAddress(request.address).text === self)
        throw new CommandFailedError(
          'REQUEST_DENIED',
          'no',
          'contact another node than the one to be removed',
        )
      return encodeAdminResponse(await this.perform(request))
    } catch (error) {
      return encodeAdminResponse(refusalOf(error))
    }
  }

  /** A request that another node passed on to the leader. Never rejects. */
  async answerPeer(payload: Uint8Array): Promise<Uint8Array> {
    try {
      return encodeAdminResponse(await this.#performHere(decodeAdminRequest(payload)))
    } catch (error) {
      return encodeAdminResponse(refusalOf(error))
    }
  }

  /**
   * Does what is asked, wherever the leader is.
   * @throws CommandFailedError, AddressCollisionError, InvalidAddressError
   */
  async perform(request: AdminRequest): Promise<AdminResponse> {
    switch (request.kind) {
      case 'status':
      case 'compact':
      case 'set-version':
        return this.#performHere(request)
      case 'add':
      case 'remove':
      case 'transfer':
        return this.#performAtLeader(request)
      default:
        return unreachable(request)
    }
  }

  /** Role, term or leader changed. */
  stateChanged(): void {
    const { leader, role } = this.#parts.group.group.state
    for (const transfer of this.#transfers) {
      if (leader === transfer.to) transfer.done(true)
      else if (role !== Role.LEADER && leader !== 0) transfer.done(false)
    }
  }

  close(): void {
    for (const transfer of this.#transfers) transfer.done(false)
  }

  async #performAtLeader(request: AdminRequest & { readonly address: string }): Promise<AdminResponse> {
    const { group, waitLeader } = this.#parts
    for (let hop = 0; hop < HOPS_MAX; hop++) {
      // Somebody leads who was heard of by this node once it has passed.
      if (group.group.state.leader === 0 && waitLeader) await group.barrier()
      const { leader, role } = group.group.state
      if (role !== Role.LEADER && leader === 0)
        throw new CommandFailedError('MISSING_LEADER', 'no', 'no leader is known')
      const response =
        role === Role.LEADER ? await this.#performHere(request) : await this.#ask(leader, request)
      if (response.kind === 'ok' || response.code !== 'NOT_LEADER') return response
    }
    throw new CommandFailedError('NOT_LEADER', 'no', 'leadership changed meanwhile')
  }

  async #ask(leader: NodeId | 0, request: AdminRequest): Promise<AdminResponse> {
    const { transport, group, timeoutMs } = this.#parts
    const body = encodeAdminRequest(request)
    const payload = encodeNodeRequest({ kind: NodeRequestKind.ADMIN, group: group.id, body })
    let answer: Uint8Array
    try {
      answer = await transport.request(leader as NodeId, payload, timeoutMs)
    } catch (cause) {
      throw new CommandFailedError('LEADER_CHANGED', 'unknown', messageOf(cause), { cause })
    }
    return decodeAdminResponse(answer)
  }

  async #performHere(request: AdminRequest): Promise<AdminResponse> {
    const { group, status } = this.#parts
    switch (request.kind) {
      case 'status':
        return { kind: 'ok', message: 'status', values: statusValues(status()) }
      case 'compact': {
        const index = await group.forceCompaction()
        return { kind: 'ok', message: `compacted up to entry ${index}`, values: { index } }
      }
      case 'set-version':
        await this.#parts.setVersion(request.version)
        return {
          kind: 'ok',
          message: `code version ${request.version} is set`,
          values: { version: request.version },
        }
      case 'add':
        return this.#change(
          request.address,
          'is a learner, and a voter once it has caught up',
          (address, done) => {
            group.desk.add(address, done)
          },
        )
      case 'remove':
        return this.#change(request.address, 'is removed', (address, done) => {
          group.desk.remove(address, done)
        })
      case 'transfer':
        return this.#transfer(parseNodeAddress(request.address))
      default:
        return unreachable(request)
    }
  }

  async #change(
    text: string,
    effect: string,
    start: (address: NodeAddress, done: (outcome: ChangeOutcome) => void) => void,
  ): Promise<AdminResponse> {
    if (!this.#parts.dynamicMembership)
      throw new CommandFailedError('REQUEST_DENIED', 'no', 'dynamicMembership is switched off')
    const address = parseNodeAddress(text)
    const outcome = await withLimit<ChangeOutcome>(this.#parts.timeoutMs, (done) => start(address, done), {
      kind: 'failed',
      error: new CommandFailedError('LEADER_CHANGED', 'unknown', 'the change is not committed yet'),
    })
    switch (outcome.kind) {
      case 'done':
        return { kind: 'ok', message: `${address.text} ${effect}`, values: { index: outcome.index } }
      case 'not-leader':
        throw new CommandFailedError('NOT_LEADER', 'no')
      case 'failed':
        throw outcome.error
      default:
        return unreachable(outcome)
    }
  }

  async #transfer(address: NodeAddress): Promise<AdminResponse> {
    const { group } = this.#parts.group
    const done = { kind: 'ok', message: `${address.text} leads`, values: {} } as const
    if (group.state.leader === address.id || (group.isLeader && this.#parts.address?.id === address.id))
      return done
    if (!group.isLeader) throw new CommandFailedError('NOT_LEADER', 'no')
    if (!group.transferLeadership(address.id))
      throw new CommandFailedError(
        'REQUEST_DENIED',
        'no',
        `${address.text} cannot lead, or another transfer is under way`,
      )
    const reached = await this.followed(address.id, this.#parts.timeoutMs)
    if (!reached)
      throw new CommandFailedError('LEADER_CHANGED', 'unknown', `${address.text} did not take over in time`)
    return done
  }

  /** True once this node follows `to`, false when it follows another, or the time is over. */
  async followed(to: NodeId, limitMs: number): Promise<boolean> {
    let transfer: Transfer | undefined
    const begin = (done: (reached: boolean) => void): void => {
      transfer = { to, done }
      this.#transfers.add(transfer)
    }
    const reached = await withLimit<boolean>(limitMs, begin, false)
    if (transfer !== undefined) this.#transfers.delete(transfer)
    return reached
  }
}

/** What `start` tells, or `late` when it tells nothing in time. */
function withLimit<T>(limitMs: number, start: (done: (value: T) => void) => void, late: T): Promise<T> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(late), limitMs)
    start((value) => {
      clearTimeout(timer)
      resolve(value)
    })
  })
}

function refusalOf(error: unknown): AdminResponse {
  if (error instanceof CommandFailedError)
    return { kind: 'refused', code: error.reason, outcome: error.outcome, message: error.message }
  const code = error instanceof SyncObjectError ? error.code : 'FAILED'
  return { kind: 'refused', code, outcome: 'no', message: messageOf(error) }
}
