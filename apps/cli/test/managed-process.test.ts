import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '@sluice/foundation'
import { freePort } from './free-port.js'
import { ManagedProcess, type ProcessListener, ProcessStartError } from '../src/managed-process.js'
import type { ProcessPlan } from '../src/process-plan.js'
import { isAlive } from '../src/process-table.js'
import { fixtureScripts, shortTimes, until, World } from './world.js'

let world: World
let started: ManagedProcess[]
let heard: string[]

const listener: ProcessListener = {
  line: (name, text) => heard.push(`${name}: ${text}`),
  changed: () => undefined,
  ended: (name, reason) => heard.push(`${name} ${reason}`),
  recovered: (name) => heard.push(`${name} recovered`),
}

beforeEach(() => {
  world = new World()
  started = []
  heard = []
})

afterEach(async () => {
  for (const one of started) one.kill()
  await Promise.all(started.map((one) => one.stop()))
  world.remove()
})

async function manage(): Promise<ManagedProcess> {
  const port = await freePort()
  const plan: ProcessPlan = {
    name: 'one',
    kind: 'broker',
    id: 1,
    host: '127.0.0.1',
    port,
    script: fixtureScripts.broker,
    args: ['--cluster=test', '--name=one'],
    env: { ...world.env, BROKER_PORT: String(port) },
    readyPath: '/health/ready',
  }
  const managed = new ManagedProcess(plan, shortTimes, listener, systemClock)
  started.push(managed)
  return managed
}

describe('a managed process', () => {
  test('is ready when its start resolves, and gone when its stop does', async () => {
    const managed = await manage()
    await managed.start()
    const pid = managed.pid!
    expect(isAlive(pid)).toBe(true)
    expect(await managed.stop()).toBe('stopped')
    expect(isAlive(pid)).toBe(false)
    expect(heard.join()).toContain('"msg":"listening"')
  })

  test('that ends while it starts fails the start, with what it said last', async () => {
    world.order('one', 'fail')
    const failure = (await manage()).start()
    await expect(failure).rejects.toThrow('one ended with code 3')
    const error = await failure.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ProcessStartError)
    expect((error as ProcessStartError).lastLines.join()).toContain('cannot go on')
  })

  test('that ends unexpectedly is started again, on the same port, and says so', async () => {
    const managed = await manage()
    await managed.start()
    const pid = managed.pid
    await fetch(`http://127.0.0.1:${managed.plan.port}/crash`).catch(() => undefined)
    await until(() => managed.ready && managed.pid !== pid, 10_000)
    expect(heard).toContain('one ended with code 7')
    await until(() => heard.includes('one recovered'), 1000)
  })

  test('that was killed is started again', async () => {
    const managed = await manage()
    await managed.start()
    const pid = managed.pid!
    process.kill(pid, 'SIGKILL')
    await until(() => managed.ready && managed.pid !== pid, 10_000)
    expect(heard).toContain('one was ended by SIGKILL')
  })

  test('that does not stop when asked is killed', async () => {
    world.order('one', 'stubborn')
    const managed = new ManagedProcess(
      (await manage()).plan,
      { ...shortTimes, stopTimeoutMs: 200 },
      listener,
      systemClock,
    )
    started.push(managed)
    await managed.start()
    const pid = managed.pid!
    expect(await managed.stop()).toBe('killed')
    expect(isAlive(pid)).toBe(false)
  })

  test('that is never ready fails the start', async () => {
    world.order('one', 'late')
    const managed = new ManagedProcess(
      (await manage()).plan,
      { ...shortTimes, startTimeoutMs: 300 },
      listener,
      systemClock,
    )
    started.push(managed)
    await expect(managed.start()).rejects.toThrow('one was not ready within 300 ms')
  })

  test('that was stopped before it started does not start', async () => {
    const managed = await manage()
    await managed.stop()
    await expect(managed.start()).rejects.toThrow('was stopped')
    expect(managed.pid).toBeUndefined()
  })
})
