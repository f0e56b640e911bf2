import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { BrokerError } from '@sluice/domain'
import { createHttpService, createLogger } from '@sluice/service'

const opened: { close(): Promise<unknown> }[] = []

afterEach(async () => {
  for (const app of opened.splice(0)) await app.close()
})

function service(ready: true | string = true) {
  const app = createHttpService({
    component: 'write-manager',
    logger: createLogger({ component: 'test', level: 'fatal' }),
    bodyLimitBytes: 1000,
    ready: () => ready,
  })
  app.post('/echo', (request) => ({ got: request.body ?? null }))
  app.get('/echo', (request) => ({ got: request.body ?? null }))
  app.get('/refuse', () => {
    throw new BrokerError('TOPIC_NOT_FOUND', 'no topic a', { field: 'topic_name' })
  })
  app.get('/bug', () => {
    throw new Error('the password is secret')
  })
  opened.push(app)
  return app
}

const JSON_TYPE = { 'content-type': 'application/json' }

describe('failures', () => {
  test('a typed error is the envelope, with its status', async () => {
    const answer = await service().inject('/refuse')
    expect(answer.statusCode).toBe(404)
    expect(answer.json()).toEqual({
      status: 'failure',
      code: 'TOPIC_NOT_FOUND',
      message: 'no topic a',
      component: 'write-manager',
      retriable: false,
      outcome: 'no',
      field: 'topic_name',
    })
  })

  test('is problem details where the client asks for them', async () => {
    const answer = await service().inject({ url: '/refuse', headers: { accept: 'application/problem+json' } })
    expect(answer.headers['content-type']).toContain('application/problem+json')
    expect(answer.json()).toMatchObject({
      status: 404,
      code: 'TOPIC_NOT_FOUND',
      detail: 'no topic a',
      instance: '/refuse',
    })
  })

  test('an error of our own leaves as a bare 500', async () => {
    const answer = await service().inject('/bug')
    expect(answer.statusCode).toBe(500)
    expect(answer.json()).toMatchObject({ code: 'INTERNAL', outcome: 'unknown' })
    expect(answer.body).not.toContain('secret')
  })

  test.each([
    { name: 'malformed JSON', payload: '{"a":', headers: JSON_TYPE, status: 400, code: 'MALFORMED_JSON' },
    {
      name: 'a prototype in JSON',
      payload: '{"__proto__":{"x":1}}',
      headers: JSON_TYPE,
      status: 400,
      code: 'MALFORMED_JSON',
    },
    {
      name: 'another media type',
      payload: 'a=1',
      headers: { 'content-type': 'text/plain' },
      status: 415,
      code: 'UNSUPPORTED_MEDIA_TYPE',
    },
    {
      name: 'a body over the limit',
      payload: JSON.stringify('x'.repeat(2000)),
      headers: JSON_TYPE,
      status: 413,
      code: 'PAYLOAD_TOO_LARGE',
    },
  ])('$name: $code', async ({ payload, headers, status, code }) => {
    const answer = await service().inject({ method: 'POST', url: '/echo', payload, headers })
    expect(answer.statusCode).toBe(status)
    expect(answer.json()).toMatchObject({ status: 'failure', code, component: 'write-manager' })
  })

  test('an unknown path is ROUTE_NOT_FOUND, a wrong method says which are right', async () => {
    expect((await service().inject('/nowhere')).json()).toMatchObject({ code: 'ROUTE_NOT_FOUND' })
    const answer = await service().inject({ method: 'DELETE', url: '/echo' })
    expect(answer.statusCode).toBe(405)
    expect(answer.headers['allow']).toBe('GET, POST')
    expect(answer.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED' })
  })
})

describe('bodies', () => {
  test('come with GET, too, and with a charset', async () => {
    const headers = { 'content-type': 'application/json; charset=utf-8' }
    for (const method of ['GET', 'POST'] as const) {
      const answer = await service().inject({ method, url: '/echo', payload: '{"a":"ü"}', headers })
      expect(answer.json()).toEqual({ got: { a: 'ü' } })
    }
  })

  test('may be absent or empty', async () => {
    expect((await service().inject({ method: 'POST', url: '/echo' })).json()).toEqual({ got: null })
    const answer = await service().inject({ method: 'POST', url: '/echo', payload: '', headers: JSON_TYPE })
    expect(answer.json()).toEqual({ got: null })
  })
})

describe('health', () => {
  test('alive as soon as it listens; ready when it can serve, else why not', async () => {
    const waiting = service('no metadata yet')
    expect((await waiting.inject('/health/live')).statusCode).toBe(200)
    const answer = await waiting.inject('/health/ready')
    expect(answer.statusCode).toBe(503)
    expect(answer.json()).toMatchObject({ message: 'no metadata yet' })
    expect((await service().inject('/health/ready')).statusCode).toBe(200)
  })
})

test('a connection that is kept alive does not hold up closing', async () => {
  const app = service()
  let release: (() => void) | undefined
  app.get('/slow', () => new Promise((resolve) => (release = () => resolve({ done: true }))))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const agent = new http.Agent({ keepAlive: true })
  const answered = new Promise<number | undefined>((resolve, reject) => {
    http
      .get({ port, host: '127.0.0.1', path: '/slow', agent }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode))
      })
      .on('error', reject)
  })
  while (release === undefined) await new Promise((resolve) => setImmediate(resolve))
  const closing = app.close()
  release()
  expect(await answered).toBe(200)
  await closing
  agent.destroy()
})

test('a call that comes on a kept connection while the server closes is refused as every failure is', async () => {
  const app = service()
  let release: (() => void) | undefined
  app.get('/slow', () => new Promise((resolve) => (release = () => resolve({ done: true }))))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const socket = net.connect(port, '127.0.0.1')
  let answers = ''
  socket.on('data', (chunk) => (answers += chunk.toString()))
  const ended = once(socket, 'close')
  socket.write('GET /slow HTTP/1.1\r\nhost: a\r\n\r\n')
  while (release === undefined) await new Promise((resolve) => setImmediate(resolve))
  const closing = app.close()
  const read = new Promise((resolve) => app.server.once('request', resolve))
  socket.write('GET /echo HTTP/1.1\r\nhost: a\r\n\r\n')
  await read
  release()
  await Promise.all([closing, ended])
  expect(answers).toMatch(/^HTTP\/1.1 200 [^]*"done":true[^]*HTTP\/1.1 503 [^]*connection: close/i)
  expect(answers).toMatch(/"code":"SHUTTING_DOWN"[^]*"retriable":true,"outcome":"no"/)
})
