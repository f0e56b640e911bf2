import { STATUS_CODES } from 'node:http'
import { errorBody, problemDetails, PROBLEMS } from '@sluice/contracts'
import { BrokerError, type Component } from '@sluice/domain'
import { messageOf } from '@sluice/foundation'
import Fastify, { LogController, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from 'pino'

export interface HttpServiceOptions {
  /** Named in every failure that names no other. */
  readonly component: Component
  readonly logger: Logger
  readonly bodyLimitBytes: number
  /** True, or why this process cannot serve yet. */
  readonly ready: () => true | string
}

const PROBLEM_JSON = 'application/problem+json'

/** A Fastify server with the failures, the body rules and the health paths that all processes share. */
export function createHttpService(options: HttpServiceOptions): FastifyInstance {
  const { component, logger } = options
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimitBytes,
    forceCloseConnections: 'idle',
    // What arrives while the server closes is refused as everything else is: see below.
    return503OnClosing: false,
    routerOptions: { ignoreTrailingSlash: true },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false } },
  }) as unknown as FastifyInstance
  closeIdleConnections(app)
  refuseWhileClosing(app, component)
  // Schemas describe; the parsers of the contracts check, and name a field as the caller spelt it.
  app.setValidatorCompiler(() => () => true)
  app.addHttpMethod('GET', { hasBody: true, overrideExisting: true })
  parseBodies(app)
  app.setErrorHandler((error, request, reply) =>
    fail(toFailure(error, options, logger), request, reply, component),
  )
  app.setNotFoundHandler((request, reply) => {
    const methods = allowedMethods(app, request)
    if (methods.length > 0) {
      void reply.header('allow', methods.join(', '))
      const message = `${request.method} is not for ${pathOf(request)}; ${methods.join(', ')} is`
      return fail(new BrokerError('METHOD_NOT_ALLOWED', message), request, reply, component)
    }
    return fail(
      new BrokerError('ROUTE_NOT_FOUND', `there is nothing at ${pathOf(request)}`),
      request,
      reply,
      component,
    )
  })
  app.get('/health/live', { logLevel: 'silent' }, () => ({ status: 'success', component, message: 'alive' }))
  app.get('/health/ready', { logLevel: 'silent' }, (request, reply) => {
    const ready = options.ready()
    if (ready === true) return { status: 'success', component, message: 'ready' }
    return fail(new BrokerError('SHUTTING_DOWN', ready), request, reply, component)
  })
  return app
}

/** Answers with the failure: the envelope, or problem details where the client asks for them. */
function fail(
  error: BrokerError,
  request: FastifyRequest,
  reply: FastifyReply,
  component: Component,
): FastifyReply {
  const body = errorBody(error, component)
  const asProblem = request.headers.accept?.includes(PROBLEM_JSON) === true
  return reply
    .code(PROBLEMS[error.code].status)
    .header('content-type', asProblem ? PROBLEM_JSON : 'application/json; charset=utf-8')
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send(asProblem ? problemDetails(body, request.url) : body)
}

const REAP_MS = 20

/** A connection that is kept alive and falls idle while the server closes would hold it up. */
function closeIdleConnections(app: FastifyInstance): void {
  app.addHook('preClose', (done) => {
    const reaper = setInterval(() => app.server.closeIdleConnections(), REAP_MS)
    app.server.once('close', () => clearInterval(reaper))
    done()
  })
}

/** On a connection that is kept alive a call may come when the process stops already: it has done nothing then. */
function refuseWhileClosing(app: FastifyInstance, component: Component): void {
  let isClosing = false
  app.addHook('preClose', (done) => {
    isClosing = true
    done()
  })
  app.addHook('onRequest', (_request, _reply, done) => {
    done(
      isClosing
        ? new BrokerError('SHUTTING_DOWN', 'this process is stopping', { component, outcome: 'no' })
        : undefined,
    )
  })
}

/** JSON only; a body that is none is MALFORMED_JSON, an empty one is no body. */
function parseBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  const secure = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (text === '') {
      done(null, undefined)
      return
    }
    void secure(request, text as string, (error, body) => {
      if (error === null) done(null, body)
      else done(new BrokerError('MALFORMED_JSON', `the body is not JSON: ${error.message}`), undefined)
    })
  })
}

interface FrameworkError {
  readonly code?: unknown
  readonly statusCode?: unknown
}

function toFailure(error: unknown, options: HttpServiceOptions, logger: Logger): BrokerError {
  if (error instanceof BrokerError) {
    if (PROBLEMS[error.code].status >= 500) logger.warn({ err: error }, 'a call failed')
    return error
  }
  const { code, statusCode } = error as FrameworkError
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new BrokerError(
      'PAYLOAD_TOO_LARGE',
      `the body is over the limit of ${options.bodyLimitBytes} bytes`,
    )
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new BrokerError('UNSUPPORTED_MEDIA_TYPE', 'the content type must be application/json')
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500)
    return new BrokerError(
      'INVALID_REQUEST',
      `${STATUS_CODES[statusCode] ?? 'bad request'}: ${messageOf(error)}`,
    )
  if (statusCode === 503) return new BrokerError('SHUTTING_DOWN', 'this process is stopping')
  logger.error({ err: error }, 'a call failed for a reason of our own')
  return new BrokerError('INTERNAL', 'internal error; the log of this component has the details', {
    outcome: 'unknown',
  })
}

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'] as const

function allowedMethods(app: FastifyInstance, request: FastifyRequest): readonly string[] {
  return METHODS.filter(
    (method) => method !== request.method && app.hasRoute({ url: pathOf(request), method }),
  )
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0]!
}
