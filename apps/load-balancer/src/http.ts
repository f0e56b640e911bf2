import { BrokerError } from '@sluice/domain'
import { createHttpService } from '@sluice/service'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { BodyBudget } from './body-budget.js'
import type { Forwarder } from './forwarder.js'
import type { ManagerGroup } from './manager-group.js'
import { givenRequestId, type RequestIds } from './request-id.js'
import { ROUTES, type RouteRule } from './routes.js'

export interface HttpParts {
  readonly logger: Logger
  readonly forwarder: Forwarder
  readonly writeManagers: ManagerGroup
  readonly readManagers: ManagerGroup
  readonly requestIds: RequestIds
  readonly bodyBytesMax: number
  readonly bodiesBytesMax: number
  /** True once this process is told to stop. */
  readonly stopping: () => boolean
}

/** The public server. A call to a manager's path is passed on as bytes: no body is parsed here. */
export function buildHttp(parts: HttpParts): FastifyInstance {
  const { logger, requestIds, bodyBytesMax } = parts
  const app = createHttpService({
    component: 'load-balancer',
    logger,
    bodyLimitBytes: bodyBytesMax,
    ready: () => readiness(parts),
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.setGenReqId((request) => givenRequestId(request.headers['x-request-id']) ?? requestIds.next())
  // A logger of its own for each call is the dearest part of a call that logs nothing.
  app.setChildLoggerFactory((own) => own)
  guard(app, parts)
  app.get('/', () => describe(parts))
  for (const rule of ROUTES) addRoute(app, rule, parts)
  return app
}

function addRoute(
  app: FastifyInstance,
  rule: RouteRule,
  { forwarder, writeManagers, readManagers }: HttpParts,
): void {
  const group = rule.managers === 'write' ? writeManagers : readManagers
  app.route({
    method: [...rule.methods],
    url: rule.path,
    exposeHeadRoute: false,
    handler: (request, reply) => forwarder.forward(rule, group, request, reply),
  })
  const allow = rule.methods.join(', ')
  app.route({
    method: app.supportedMethods.filter((method) => !rule.methods.some((taken) => taken === method)),
    url: rule.path,
    handler: (request, reply) => {
      void reply.header('allow', allow)
      throw new BrokerError('METHOD_NOT_ALLOWED', `${request.method} is not for ${rule.path}; ${allow} is`)
    },
  })
}

/** What holds for every call, before its body is read. */
function guard(app: FastifyInstance, { stopping, bodyBytesMax, bodiesBytesMax }: HttpParts): void {
  const budget = new BodyBudget({ bodyBytesMax, bodiesBytesMax })
  app.addHook('onRequest', (request, reply, done) => {
    if (stopping()) {
      void reply.header('connection', 'close')
      if (!request.url.startsWith('/health/'))
        throw new BrokerError('SHUTTING_DOWN', 'the load balancer is stopping')
    }
    const taken = budget.take(request.raw)
    if (taken > 0) reply.raw.once('close', () => budget.giveBack(taken))
    done()
  })
}

function readiness({ stopping, writeManagers, readManagers }: HttpParts): true | string {
  if (stopping()) return 'the load balancer is stopping'
  const missing = [writeManagers, readManagers]
    .filter((group) => !group.ready)
    .map(({ component }) => component)
  return missing.length === 0 ? true : `no ${missing.join(' and no ')} is ready`
}

function describe({ writeManagers, readManagers }: HttpParts): object {
  const managers = [writeManagers, readManagers].flatMap(({ component, managers: all }) =>
    all.map(({ address, up, reason }) => ({
      component,
      address: address.label,
      up,
      ...(reason === '' ? {} : { reason }),
    })),
  )
  return {
    status: 'success',
    service: 'sluice',
    component: 'load-balancer',
    managers,
    paths: ROUTES.flatMap(({ path, methods }) => methods.map((method) => `${method} ${path}`)),
    message: 'Sluice, a message broker',
  }
}
