import type { ClusterClient } from '@sluice/client'
import {
  type MaintenanceRequest,
  partitionSizes,
  type RebalanceRequest,
  type RemoveBrokerRequest,
} from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import {
  type BalancePlan,
  type BrokerState,
  isLeaving,
  isRunning,
  MOVE_TIMEOUT_MS,
  type MoveOrder,
  MOVES_AT_ONCE,
  ordersFor,
} from '@sluice/metadata'
import { brokerStatuses } from './broker-statuses.js'

export interface ProposedPlan {
  readonly moves: readonly MoveOrder[]
  readonly movesAtOnce: number
  /** Absent when it was only asked for. */
  readonly planId?: number
}

/**
 * Who holds and leads what: what an operator changes about brokers that are in the cluster. `by` says in the audit
 * trail who asked for it.
 */
export class BrokerAdministration {
  readonly #metadata: ClusterClient['metadata']
  readonly #clock: Clock
  readonly #timeoutMs: number

  constructor(parts: {
    readonly metadata: ClusterClient['metadata']
    readonly clock: Clock
    readonly timeoutMs: number
  }) {
    this.#metadata = parts.metadata
    this.#clock = parts.clock
    this.#timeoutMs = parts.timeoutMs
  }

  /** Makes everything even, or shows how. @throws BrokerError PLAN_RUNNING */
  async rebalance(request: RebalanceRequest, by: string): Promise<ProposedPlan> {
    const statuses = await brokerStatuses(this.#metadata)
    await this.#metadata.refresh()
    const { state } = this.#metadata
    if (!request.dryRun && isRunning(state.plan))
      throw new BrokerError('PLAN_RUNNING', `plan ${state.plan.id} is running`)
    const moves = ordersFor(state, 'even', partitionSizes(statuses.values()))
    const movesAtOnce = request.movesAtOnce ?? MOVES_AT_ONCE
    if (request.dryRun) return { moves, movesAtOnce }
    const result = await this.#metadata.propose(
      {
        kind: 'start-plan',
        at: this.#clock.now(),
        reason: 'asked-for',
        movesAtOnce,
        moveTimeoutMs: request.moveTimeoutMs ?? MOVE_TIMEOUT_MS,
        moves,
        by,
      },
      { timeoutMs: this.#timeoutMs },
    )
    return { moves, movesAtOnce, planId: Number(result['planId']) }
  }

  /** The newest plan. @throws BrokerError PLAN_NOT_FOUND */
  async plan(): Promise<BalancePlan> {
    await this.#metadata.refresh()
    const { plan } = this.#metadata.state
    if (plan === undefined) throw new BrokerError('PLAN_NOT_FOUND', 'no plan of moves was ever made')
    return plan
  }

  /** Calls the running plan off; a broker that was to leave stays. @throws BrokerError PLAN_NOT_FOUND */
  async cancel(by: string): Promise<BalancePlan> {
    const plan = await this.plan()
    if (!isRunning(plan)) throw new BrokerError('PLAN_NOT_FOUND', 'no plan is running')
    if (plan.reason === 'broker-removed' && plan.brokerId !== undefined)
      await this.#setState(plan.brokerId, 'active', by)
    await this.#metadata.propose(
      { kind: 'cancel-plan', at: this.#clock.now(), planId: plan.id, by },
      { timeoutMs: this.#timeoutMs, repeatable: true },
    )
    return this.plan()
  }

  /** Begins to take everything off the broker. @throws BrokerError BROKER_NOT_FOUND, LAST_BROKER, NOT_ENOUGH_BROKERS */
  async remove({ brokerId, force }: RemoveBrokerRequest, by: string): Promise<void> {
    await this.#setState(brokerId, force ? 'evicted' : 'removing', by)
  }

  /** @throws BrokerError BROKER_NOT_FOUND, INVALID_REQUEST */
  async setMaintenance({ brokerId, enabled }: MaintenanceRequest, by: string): Promise<void> {
    await this.#metadata.refresh()
    const broker = this.#metadata.state.broker(brokerId)
    if (broker !== undefined && isLeaving(broker))
      throw new BrokerError('INVALID_REQUEST', `broker ${brokerId} is being removed`, { field: 'broker_id' })
    await this.#setState(brokerId, enabled ? 'maintenance' : 'active', by)
  }

  async #setState(brokerId: number, state: BrokerState, by: string): Promise<void> {
    await this.#metadata.propose(
      { kind: 'set-broker-state', at: this.#clock.now(), brokerId, state, by },
      { timeoutMs: this.#timeoutMs, repeatable: true },
    )
  }
}
