import { afterEach, describe, expect, test } from '@jest/globals'
import { eventually } from '@sluice/foundation/testing'
import type { Behaviour } from './fake-manager.js'
import { failureOf, World } from './world.js'

let world: World

afterEach(() => world.stop())

describe('when every write manager fails a produce call, the caller is told how of each', () => {
  test.each<[Behaviour, number, object, RegExp]>([
    [
      'reset',
      502,
      { code: 'CONNECTION_LOST' },
      /broke the connection before it answered \(connection error: .+\)/,
    ],
    [
      'close',
      502,
      { code: 'BAD_UPSTREAM_ANSWER' },
      /closed the connection without an answer \(empty answer\)/,
    ],
    ['half', 502, { code: 'BAD_UPSTREAM_ANSWER' }, /broke its answer off half-way/],
    ['garbage', 502, { code: 'BAD_UPSTREAM_ANSWER' }, /answered with something that is not HTTP/],
    ['empty', 502, { code: 'BAD_UPSTREAM_ANSWER' }, /answered with an empty body \(empty answer\)/],
    ['html', 502, { code: 'BAD_UPSTREAM_ANSWER' }, /answered with something that is not JSON/],
    ['list', 502, { code: 'BAD_UPSTREAM_ANSWER' }, /answered with something that is not a JSON object/],
    ['silence', 504, { code: 'TIMEOUT' }, /did not answer within 400 ms \(time-out\)/],
  ])('%s', async (behaviour, status, expected, sentence) => {
    world = await World.start({ write: 2 })
    for (const manager of world.write) manager.behaviour = behaviour
    const response = await world.post('/producer/produce')
    expect(response.status).toBe(status)
    const failure = await failureOf(response)
    expect(failure).toMatchObject({
      ...expected,
      component: 'write-manager',
      retriable: true,
      outcome: 'unknown',
    })
    expect(failure.message).toMatch(sentence)
    expect(failure.message).toMatch(/^write-manager at 127\.0\.0\.1:\d+ /)
    expect(failure.message).toContain('whether the call took effect is not known')
    // Nobody is asked again after the time is up.
    const calls = world.write.flatMap((manager) => manager.calls)
    expect(calls).toHaveLength(behaviour === 'silence' ? 1 : 2)
    for (const { headers } of calls)
      expect(headers['x-request-id']).toBe(response.headers.get('x-request-id'))
  })

  test('nothing listens there', async () => {
    world = await World.start()
    await world.write[0]!.stop()
    const response = await world.post('/producer/produce')
    expect(response.status).toBe(503)
    const failure = await failureOf(response)
    expect(failure).toMatchObject({ code: 'MANAGER_UNAVAILABLE', component: 'write-manager', outcome: 'no' })
    expect(failure.message).toContain(
      `write-manager at ${world.write[0]!.address} cannot be reached (connection error: `,
    )
    expect(failure.message).not.toContain('not known')
  })
})

describe('another manager is asked', () => {
  test('for any call, when the first cannot be reached', async () => {
    world = await World.start({ write: 2 })
    await world.write[0]!.stop()
    for (let count = 0; count < 4; count += 1)
      expect((await world.post('/producer/produce')).status).toBe(201)
    expect(world.write[1]!.calls).toHaveLength(4)
    expect(world.write[1]!.calls[0]!.headers['x-sluice-retry']).toBeUndefined()
  })

  test.each<Behaviour>(['stopping', 'framework-stopping'])(
    'for any call, when the first is %s',
    async (behaviour) => {
      world = await World.start({ write: 2 })
      world.write[0]!.behaviour = behaviour
      for (let count = 0; count < 4; count += 1)
        expect((await world.post('/producer/produce')).status).toBe(201)
      expect(world.write[1]!.calls).toHaveLength(4)
    },
  )

  describe.each(['/consumer/consume', '/producer/produce'])('for %s', (path) => {
    test.each<Behaviour>(['reset', 'close', 'half', 'garbage', 'empty', 'html'])(
      'after a %s, marked as a retry, under the same request id, which is not the client’s',
      async (behaviour) => {
        world = await World.start({ read: 2, write: 2 })
        const managers = path === '/producer/produce' ? world.write : world.read
        managers[0]!.behaviour = behaviour
        const responses = [await world.post(path), await world.post(path)]
        expect(responses.map(({ status }) => status)).toEqual([201, 201])
        const [failed] = managers[0]!.calls
        const retry = managers[1]!.calls.find(({ headers }) => headers['x-sluice-retry'] === '1')!
        expect(retry.headers['x-request-id']).toBe(failed!.headers['x-request-id'])
        expect(retry.headers['x-sluice-id-origin']).toBeUndefined()
        const tries = [failed!, retry].map(({ headers }) => Number(headers['x-sluice-try']))
        expect(tries[1]).toBe(tries[0]! + 1)
        expect(retry.body).toBe(failed!.body)
      },
    )
  })

  test('for any call with an id of the client, it is told as such from the first time on', async () => {
    world = await World.start({ write: 2 })
    world.write[0]!.behaviour = 'reset'
    const id = 'ab'.repeat(16)
    for (let count = 0; count < 2; count += 1)
      await world.post('/producer/produce', {}, { headers: { 'x-request-id': id } })
    for (const { headers } of world.write.flatMap(({ calls }) => calls))
      expect(headers).toMatchObject({
        'x-request-id': id,
        'x-sluice-retry': '1',
        'x-sluice-id-origin': 'client',
      })
  })

  test('for a GET, but not for a seek, once the call was sent', async () => {
    world = await World.start({ read: 2 })
    world.read[0]!.behaviour = 'reset'
    world.read[1]!.behaviour = 'reset'
    expect((await world.get('/size')).status).toBe(502)
    expect(world.read.flatMap(({ calls }) => calls)).toHaveLength(2)
    expect((await world.post('/consumer/seek')).status).toBe(502)
    expect(world.read.flatMap(({ calls }) => calls)).toHaveLength(3)
  })

  test('and when all fail, the caller hears of each', async () => {
    world = await World.start({ read: 2 })
    for (const manager of world.read) manager.behaviour = 'close'
    const failure = await failureOf(await world.post('/consumer/consume'))
    expect(failure).toMatchObject({
      code: 'BAD_UPSTREAM_ANSWER',
      component: 'read-manager',
      outcome: 'unknown',
    })
    for (const { address } of world.read)
      expect(failure.message).toContain(`read-manager at ${address} closed`)
  })

  test('but a failure that leaves doubt is told before one that does not', async () => {
    world = await World.start({ read: 2 })
    world.read[0]!.behaviour = 'reset'
    world.read[1]!.behaviour = 'stopping'
    for (let count = 0; count < 2; count += 1) {
      const failure = await failureOf(await world.post('/consumer/consume'))
      expect(failure).toMatchObject({ code: 'CONNECTION_LOST', outcome: 'unknown' })
    }
  })
})

describe('a manager that is down', () => {
  test('is skipped, and used again once it is back', async () => {
    world = await World.start({ read: 2 })
    await world.read[0]!.stop()
    await world.untilUp((up) => up[1] === false)
    for (let count = 0; count < 5; count += 1)
      expect((await world.post('/consumer/consume')).status).toBe(201)
    expect(world.read[1]!.calls).toHaveLength(5)
    await world.read[0]!.start()
    await world.untilUp((up) => up.every(Boolean))
    for (let count = 0; count < 4; count += 1) await world.post('/consumer/consume')
    expect(world.read[0]!.calls).toHaveLength(2)
  })

  test('because it says that it is not ready, is skipped', async () => {
    world = await World.start({ read: 2 })
    world.read[1]!.ready = false
    await world.untilUp((up) => up[2] === false)
    for (let count = 0; count < 3; count += 1) await world.post('/consumer/consume')
    expect(world.read.map(({ calls }) => calls.length)).toEqual([3, 0])
    const { managers } = (await (await world.get('/')).json()) as { managers: { reason?: string }[] }
    expect(managers[2]!.reason).toBe('is not ready (HTTP error 503)')
  })

  test('is tried anyway when none is up', async () => {
    world = await World.start({ read: 2 })
    for (const manager of world.read) manager.ready = false
    await world.untilUp((up) => !up[1] && !up[2])
    expect((await world.post('/consumer/consume')).status).toBe(201)
  })
})

describe('readiness', () => {
  test('needs one manager of each kind', async () => {
    world = await World.start({ read: 2 })
    expect((await world.get('/health/ready')).status).toBe(200)
    expect((await world.get('/health/live')).status).toBe(200)
    world.write[0]!.ready = false
    world.read[0]!.ready = false
    await world.untilUp((up) => !up[0] && !up[1])
    const response = await world.get('/health/ready')
    expect(response.status).toBe(503)
    expect((await failureOf(response)).message).toBe('no write-manager is ready')
  })
})

describe('a call always ends', () => {
  test('a consume call that waits has longer than others', async () => {
    world = await World.start()
    for (const manager of world.read) manager.behaviour = 'silence'
    expect((await failureOf(await world.post('/consumer/consume', { a: 1 }))).message).toContain(
      'within 400 ms',
    )
    expect((await failureOf(await world.post('/consumer/consume', { wait_ms: 1 }))).message).toContain(
      'within 800 ms',
    )
    expect((await failureOf(await world.get('/consumer/consume?wait_ms=1'))).message).toContain(
      'within 800 ms',
    )
  })

  test('when no connection is free, which means that nothing was done', async () => {
    world = await World.start({}, (config) => ({
      ...config,
      managers: { ...config.managers, connectionsMax: 1 },
    }))
    world.write[0]!.behaviour = 'silence'
    const failures = await Promise.all(
      [1, 2].map(async () => failureOf(await world.post('/producer/produce'))),
    )
    expect(failures.map(({ code }) => code).sort()).toEqual(['MANAGER_UNAVAILABLE', 'TIMEOUT'])
    const waiting = failures.find(({ code }) => code === 'MANAGER_UNAVAILABLE')!
    expect(waiting).toMatchObject({ outcome: 'no' })
    expect(waiting.message).toContain('had no connection free within 400 ms')
  })

  test('when a manager hangs: what can be repeated is answered by another one, the rest in time', async () => {
    world = await World.start({ write: 2 }, (config) => ({
      ...config,
      managers: { ...config.managers, healthTimeoutMs: 60 },
      calls: { ...config.calls, callTimeoutMs: 2000 },
    }))
    const [hanging, other] = world.write
    hanging!.behaviour = 'silence'
    const started = performance.now()
    const calls = [1, 2].map(() => world.post('/producer/produce'))
    const made = [1, 2].map(() => world.post('/partition'))
    await eventually(() => expect(hanging!.calls).toHaveLength(2))
    hanging!.hangs = true
    for (const answer of await Promise.all(calls)) expect(answer.status).toBe(201)
    expect(performance.now() - started).toBeLessThan(1500)
    const retried = other!.calls.filter(({ headers }) => headers['x-sluice-retry'] === '1')
    expect(retried.map(({ url }) => url)).toEqual(['/producer/produce'])
    const statuses = await Promise.all(made.map(async (call) => (await call).status))
    expect(statuses.toSorted()).toEqual([201, 504])
  })

  test('when the client goes away, the manager is told', async () => {
    world = await World.start()
    world.write[0]!.behaviour = 'silence'
    const client = new AbortController()
    const call = world.post('/producer/produce', {}, { signal: client.signal }).catch(() => 'aborted')
    await eventually(() => {
      if (world.write[0]!.calls.length === 0) throw new Error('not there yet')
    })
    client.abort()
    expect(await call).toBe('aborted')
    await eventually(() => {
      if (world.write[0]!.abandoned !== 1) throw new Error('still open')
    })
  })
})

describe('a stop', () => {
  test('lets open calls end, and answers those that do not', async () => {
    world = await World.start()
    world.write[0]!.behaviour = 'silence'
    const open = world.post('/producer/produce')
    await eventually(() => {
      if (world.write[0]!.calls.length === 0) throw new Error('not there yet')
    })
    const stopped = world.stopBalancer()
    const refused = await world.post('/consumer/consume')
    expect(await failureOf(refused)).toMatchObject({
      code: 'SHUTTING_DOWN',
      component: 'load-balancer',
      outcome: 'no',
    })
    expect((await world.get('/health/ready')).status).toBe(503)
    const failure = await failureOf(await open)
    expect(failure).toMatchObject({ code: 'SHUTTING_DOWN', outcome: 'unknown' })
    await stopped
    await expect(world.get('/')).rejects.toThrow()
  })

  test('may be asked for twice', async () => {
    world = await World.start()
    await Promise.all([world.stopBalancer(), world.stopBalancer()])
    await expect(world.get('/')).rejects.toThrow()
  })
})
