import type { ClusterClient } from '@sluice/client'
import {
  parseAddBroker,
  parseMaintenance,
  parseRebalance,
  parseRemoveBroker,
  SCHEMAS,
} from '@sluice/contracts'
import type { Clock } from '@sluice/foundation'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { BrokerAdministration } from './broker-administration.js'
import type { BrokerAdmission } from './broker-admission.js'
import { askerOf } from './call-identity.js'
import { brokerStatuses } from './broker-statuses.js'
import { brokerViews } from './broker-view.js'
import { planView, proposedView } from './plan-view.js'

export interface BrokerRouteParts {
  readonly cluster: Pick<ClusterClient, 'metadata'>
  readonly admission: BrokerAdmission
  readonly brokers: BrokerAdministration
  readonly clock: Clock
}

type Fields = Record<string, unknown>

export function addBrokerRoutes(app: FastifyInstance, parts: BrokerRouteParts): void {
  const { admission, brokers, cluster, clock } = parts

  app.post('/broker', { schema: SCHEMAS.addBroker }, async (request) => {
    const brokerId = await admission.add(parseAddBroker(request.body), askerOf(request))
    return {
      status: 'success',
      broker_id: brokerId,
      message: `Broker ID ${brokerId} created successfully`,
    }
  })

  app.get('/brokers', { schema: SCHEMAS.listBrokers }, async () => {
    const statuses = await brokerStatuses(cluster.metadata)
    const views = brokerViews(cluster.metadata.state, { statuses, now: clock.now() })
    return { status: 'success', brokers: views, message: `${views.length} brokers` }
  })

  const remove = async (call: FastifyRequest, fields: Fields): Promise<object> => {
    const request = parseRemoveBroker(fields)
    await brokers.remove(request, askerOf(call))
    const { brokerId } = request
    return {
      status: 'success',
      broker_id: brokerId,
      message: `Broker ID ${brokerId} gives its replicas away and is removed then`,
    }
  }

  app.delete('/broker/remove', { schema: SCHEMAS.removeBrokerByBody }, (request) =>
    remove(request, { ...(request.query as Fields), ...(request.body as Fields | undefined) }),
  )

  app.delete('/broker/:broker_id', { schema: SCHEMAS.removeBroker }, (request) =>
    remove(request, {
      ...(request.body as Fields | undefined),
      ...(request.query as Fields),
      ...(request.params as Fields),
    }),
  )

  app.post('/broker/:broker_id/maintenance', { schema: SCHEMAS.setMaintenance }, async (request) => {
    const call = parseMaintenance({ ...(request.body as Fields | undefined), ...(request.params as Fields) })
    await brokers.setMaintenance(call, askerOf(request))
    const { brokerId, enabled } = call
    return {
      status: 'success',
      broker_id: brokerId,
      maintenance: enabled,
      message: enabled
        ? `Broker ID ${brokerId} hands its leaderships over`
        : `Broker ID ${brokerId} takes its leaderships again`,
    }
  })

  app.post('/rebalance', { schema: SCHEMAS.rebalance }, async (request) => {
    const call = parseRebalance({ ...(request.query as Fields), ...(request.body as Fields | undefined) })
    const plan = await brokers.rebalance(call, askerOf(request))
    const message = `${plan.moves.length} moves ${call.dryRun ? 'would make' : 'make'} the cluster even`
    return { status: 'success', ...proposedView(plan, cluster.metadata.state), message }
  })

  app.get('/rebalance', { schema: SCHEMAS.getRebalance }, async () => {
    const plan = await brokers.plan()
    const message = `Rebalance ${plan.id}: ${plan.state}`
    return { status: 'success', ...planView(plan, cluster.metadata.state), message }
  })

  app.delete('/rebalance', { schema: SCHEMAS.cancelRebalance }, async (request) => {
    const plan = await brokers.cancel(askerOf(request))
    const message = `Rebalance ${plan.id} is called off`
    return { status: 'success', ...planView(plan, cluster.metadata.state), message }
  })
}
