import { once } from 'node:events'
import { connect } from 'node:net'
import { request } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { failureOf, World } from './world.js'

let world: World

beforeEach(async () => {
  world = await World.start()
})

afterEach(() => world.stop())

/** GET with a body, which fetch refuses. */
function getWithBody(path: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const call = request(`${world.url}${path}`, { method: 'GET', headers }, (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode ?? 0))
    })
    call.once('error', reject)
    call.end(body)
  })
}

describe('a call', () => {
  test.each([
    ['POST', '/producer/produce', 'write'],
    ['POST', '/producer/register', 'write'],
    ['POST', '/topics', 'write'],
    ['GET', '/topics', 'write'],
    ['POST', '/partition', 'write'],
    ['POST', '/broker', 'write'],
    ['GET', '/brokers', 'write'],
    ['DELETE', '/broker/1', 'write'],
    ['DELETE', '/broker/remove', 'write'],
    ['POST', '/broker/1/maintenance', 'write'],
    ['POST', '/rebalance', 'write'],
    ['GET', '/rebalance', 'write'],
    ['DELETE', '/rebalance', 'write'],
    ['GET', '/health-checks', 'write'],
    ['POST', '/consumer/register', 'read'],
    ['POST', '/consumer/consume', 'read'],
    ['GET', '/consumer/consume?consumer_id=1&topic=a', 'read'],
    ['GET', '/size?consumer_id=1&topic=a', 'read'],
  ] as const)('%s %s goes to a %s manager', async (method, path, kind) => {
    const response = method === 'POST' ? await world.post(path) : await world.get(path, { method })
    expect(response.status).toBe(201)
    const calls = world[kind].flatMap((manager) => manager.calls)
    expect(calls).toEqual([expect.objectContaining({ method, url: path })])
  })

  test('comes back with status, headers and body as the manager gave them', async () => {
    const response = await world.post('/topics')
    expect(response.status).toBe(201)
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(response.headers.get('x-served-by')).toBe('write-1')
    expect(await response.json()).toEqual({ status: 'success', by: 'write-1' })
  })

  test('is passed on as bytes, whether they are JSON or not', async () => {
    const body = '{"half": "ü'
    await world.post('/producer/produce', body)
    expect(world.write[0]!.calls[0]).toMatchObject({ body, headers: { 'content-type': 'application/json' } })
  })

  test('that a manager refuses comes back with the refusal', async () => {
    world.write[0]!.behaviour = 'error'
    const response = await world.post('/producer/produce')
    expect(response.status).toBe(500)
    expect(await failureOf(response)).toMatchObject({ code: 'INTERNAL', component: 'write-manager' })
    expect(world.write[0]!.calls).toHaveLength(1)
  })

  test('gets a request id of 32 hex digits, or keeps a valid one of its own', async () => {
    const first = await world.post('/topics')
    const second = await world.post('/topics')
    const own = 'ABCDEF0123456789abcdef0123456789'
    const third = await world.post('/topics', {}, { headers: { 'x-request-id': own } })
    await world.post('/topics', {}, { headers: { 'x-request-id': 'short' } })
    const ids = world.write[0]!.calls.map(({ headers }) => headers['x-request-id'])
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/)
    expect(ids[1]).not.toBe(ids[0])
    expect(ids[2]).toBe(own.toLowerCase())
    expect(ids[3]).toMatch(/^[0-9a-f]{32}$/)
    expect([first, second, third].map((response) => response.headers.get('x-request-id'))).toEqual(
      ids.slice(0, 3),
    )
  })

  test('cannot pass itself off as a retry of the load balancer', async () => {
    await world.post(
      '/consumer/consume',
      {},
      {
        headers: { 'x-sluice-retry': '1', 'x-sluice-try': '1' },
      },
    )
    const [call] = world.read.flatMap((manager) => manager.calls)
    expect(call!.headers['x-sluice-retry']).toBeUndefined()
    // What the load balancer counts, and not what the client says.
    expect(Number(call!.headers['x-sluice-try'])).toBeGreaterThan(1)
  })

  test('GET /consumer/consume with a body is passed on as POST', async () => {
    const body = '{"consumer_id":1,"topic":"a"}'
    expect(await getWithBody('/consumer/consume', body)).toBe(201)
    expect(world.read.flatMap((manager) => manager.calls)).toEqual([
      expect.objectContaining({ method: 'POST', url: '/consumer/consume', body }),
    ])
  })

  test.each(['/size', '/topics'])('GET %s with a body stays GET and keeps its body', async (path) => {
    const body = '{"consumer_id":1,"topic":"a"}'
    expect(await getWithBody(path, body)).toBe(201)
    expect(await getWithBody(path, body)).toBe(201)
    const calls = [...world.read, ...world.write].flatMap((manager) => manager.calls)
    expect(calls).toEqual([1, 2].map(() => expect.objectContaining({ method: 'GET', url: path, body })))
  })

  test('goes to the read managers in turn', async () => {
    for (let count = 0; count < 6; count += 1) await world.post('/consumer/consume')
    expect(world.read.map(({ calls }) => calls.length)).toEqual([3, 3])
  })
})

describe('a call that no manager serves', () => {
  test('is refused when the path is unknown', async () => {
    const response = await world.get('/nothing')
    expect(response.status).toBe(404)
    expect(await failureOf(response)).toMatchObject({
      code: 'ROUTE_NOT_FOUND',
      component: 'load-balancer',
      outcome: 'no',
    })
  })

  test.each([
    ['PUT', '/topics', 'GET, POST'],
    ['POST', '/size', 'GET'],
    ['DELETE', '/producer/produce', 'POST'],
    ['PUT', '/topics/a', 'GET, PATCH, DELETE'],
  ])('%s %s is refused with the methods that are allowed', async (method, path, allow) => {
    const response = await world.get(path, { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe(allow)
    expect(await failureOf(response)).toMatchObject({
      code: 'METHOD_NOT_ALLOWED',
      component: 'load-balancer',
    })
  })

  test('HEAD of a manager path is refused, without a body', async () => {
    const response = await world.get('/topics', { method: 'HEAD' })
    expect(response.status).toBe(405)
    expect(world.write[0]!.calls).toEqual([])
  })

  test('is refused as problem details to who asks for them', async () => {
    const response = await world.get('/nothing', { headers: { accept: 'application/problem+json' } })
    expect(response.headers.get('content-type')).toContain('application/problem+json')
    expect(await response.json()).toMatchObject({ status: 404, code: 'ROUTE_NOT_FOUND' })
  })
})

describe('limits', () => {
  test('a body over the limit is refused', async () => {
    await world.stop()
    world = await World.start({}, (config) => ({ ...config, bodyBytesMax: 1024 }))
    const response = await world.post('/producer/produce', 'x'.repeat(1025))
    expect(response.status).toBe(413)
    expect(await failureOf(response)).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', component: 'load-balancer' })
    expect((await world.post('/producer/produce', 'x'.repeat(1024))).status).toBe(201)
  })

  test('more bodies than may be in memory are refused, and their room is given back', async () => {
    await world.stop()
    world = await World.start({}, (config) => ({ ...config, bodiesBytesMax: 100_000 }))
    const body = 'x'.repeat(70_000)
    world.write[0]!.behaviour = 'silence'
    const first = world.post('/producer/produce', body)
    const response = await untilOverloaded(() => world.post('/producer/produce', body))
    expect(response.status).toBe(503)
    expect(await failureOf(response)).toMatchObject({ code: 'OVERLOADED', retriable: true, outcome: 'no' })
    await (await first).text()
    world.write[0]!.behaviour = 'answer'
    expect((await world.post('/producer/produce', body)).status).toBe(201)
  })

  test('more calls than may be open are refused', async () => {
    await world.stop()
    world = await World.start({}, (config) => ({ ...config, calls: { ...config.calls, callsMax: 1 } }))
    world.write[0]!.behaviour = 'silence'
    const first = world.post('/producer/produce')
    const response = await untilOverloaded(() => world.post('/topics'))
    expect(await failureOf(response)).toMatchObject({ code: 'OVERLOADED', component: 'load-balancer' })
    await (await first).text()
  })

  test('an answer over the limit is not passed on', async () => {
    await world.stop()
    world = await World.start({}, (config) => ({
      ...config,
      calls: { ...config.calls, answerBytesMax: 1024 },
    }))
    world.write[0]!.behaviour = 'huge'
    const failure = await failureOf(await world.post('/topics'))
    expect(failure).toMatchObject({ code: 'BAD_UPSTREAM_ANSWER', component: 'write-manager' })
    expect(failure.message).toContain('more than the 1024 bytes')
  })
})

/** Two calls race to be the open one: asks until one is refused. */
async function untilOverloaded(ask: () => Promise<Response>): Promise<Response> {
  for (;;) {
    const response = await Promise.race([ask(), ask()])
    if (response.status === 503) return response
    await response.text()
  }
}

describe('bytes that are not HTTP', () => {
  test('are answered and end the connection', async () => {
    const socket = connect(world.port, '127.0.0.1')
    socket.end('NONSENSE\r\n\r\n')
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    await once(socket, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 400 /)
  })
})
