import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '@sluice/foundation'
import { freePort } from './free-port.js'
import { readClusterFile, writeClusterFile } from '../src/cluster-file.js'
import type { DatabaseServer } from '../src/database-server.js'
import { isAlive } from '../src/process-table.js'
import { runCluster, type StartParts } from '../src/start-command.js'
import { describeStatus } from '../src/status-command.js'
import { fixtureScripts, shortTimes, until, World } from './world.js'

let world: World
let stop: AbortController
let running: Promise<void> | undefined
let occupant: Server | undefined

beforeEach(() => {
  world = new World()
  stop = new AbortController()
  running = undefined
  occupant = undefined
})

afterEach(async () => {
  stop.abort()
  await running?.catch(() => undefined)
  occupant?.close()
  world.remove()
})

async function parts(databases: DatabaseServer = world.databaseServer): Promise<StartParts> {
  const port = await freePort()
  return {
    settings: {
      dataDirectory: world.directory,
      host: '127.0.0.1',
      port,
      brokerCount: 3,
      readManagerCount: 2,
      writeManagerCount: 1,
      loadBalancerCount: 1,
      databaseUrls: [],
      databasePrefix: 'sluice_broker_',
      ...shortTimes,
    },
    scripts: fixtureScripts,
    baseEnv: world.env,
    openDatabases: () => Promise.resolve(databases),
    terminal: world.terminal,
    clock: systemClock,
  }
}

/** Starts, and resolves when the box with the first commands is shown. */
async function start(given: StartParts): Promise<void> {
  running = runCluster(given, stop.signal, () => undefined)
  await Promise.race([running, until(() => world.printed.includes('Sluice is ready'), 20_000)])
}

const state = () => readClusterFile(join(world.directory, 'cluster.json'))!
const pids = (): number[] =>
  state().processes.flatMap(({ kind, pid }) => (pid === null || kind === 'supervisor' ? [] : [pid]))

describe('a cluster', () => {
  test('starts every process, tells where it is, and stops in order, leaving no process', async () => {
    const given = await parts()
    await start(given)
    expect(state().processes.map(({ name }) => name)).toEqual([
      'supervisor',
      'broker-1',
      'broker-2',
      'broker-3',
      'write-manager',
      'read-manager-1',
      'read-manager-2',
      'load-balancer',
    ])
    expect(world.databases).toEqual(['sluice_broker_1', 'sluice_broker_2', 'sluice_broker_3'])
    expect(world.printed).toContain('brokers ready 3/3')
    expect(world.printed).toContain(`Sluice is ready: http://127.0.0.1:${given.settings.port}`)
    expect(describeStatus(world.directory)).toMatchObject({ running: true })
    const all = pids()
    stop.abort()
    await running
    expect(all.filter(isAlive)).toEqual([])
    const stopped = world.events.filter((event) => event.startsWith('stopped'))
    expect(stopped[0]).toBe('stopped load-balancer')
    expect(stopped.slice(1, 4).sort()).toEqual([
      'stopped read-manager-1',
      'stopped read-manager-2',
      'stopped write-manager',
    ])
    expect(stopped.slice(4, 7).sort()).toEqual(['stopped broker-1', 'stopped broker-2', 'stopped broker-3'])
    expect(stopped[7]).toBe('stopped postgres')
    expect(existsSync(join(world.directory, 'sluice.lock'))).toBe(false)
    expect(describeStatus(world.directory)).toMatchObject({ running: false })
  })

  test('keeps its id and its ports over a restart', async () => {
    const given = await parts()
    await start(given)
    const before = state()
    stop.abort()
    await running
    stop = new AbortController()
    running = runCluster(given, stop.signal, () => undefined)
    await until(() => world.printed.split('Sluice is ready').length === 3, 20_000)
    expect(state().clusterId).toBe(before.clusterId)
    const ports = (from: typeof before): (number | null)[] => from.processes.map(({ port }) => port)
    expect(ports(state())).toEqual(ports(before))
  })

  test('that ran before starts without a broker that cannot, and goes on trying; not without any', async () => {
    const given = await parts()
    await start(given)
    stop.abort()
    await running
    world.order('broker-2', 'fail')
    stop = new AbortController()
    running = runCluster(given, stop.signal, () => undefined)
    await until(() => world.printed.split('Sluice is ready').length === 3, 20_000)
    expect(world.printed).toContain('broker-2 cannot start')
    expect(world.printed).toContain('docs/recovery.md')
    world.order('broker-2', '')
    await until(() => world.printed.includes('broker-2 serves again'), 20_000)
    stop.abort()
    await running
    for (const id of [1, 2, 3]) world.order(`broker-${id}`, 'fail')
    stop = new AbortController()
    await expect(runCluster(given, stop.signal, () => undefined)).rejects.toThrow(/broker-\d ended with code/)
  })

  test('tells the processes about each other', async () => {
    await start(await parts())
    const { clusterId, processes } = state()
    const portOf = (name: string): number => processes.find((entry) => entry.name === name)!.port!
    const envOf = async (name: string): Promise<Record<string, string>> => {
      const response = await fetch(`http://127.0.0.1:${portOf(name)}/env`)
      return ((await response.json()) as { env: Record<string, string> }).env
    }
    const brokers = [1, 2, 3].map((id) => `127.0.0.1:${portOf(`broker-${id}`)}`)
    expect(await envOf('broker-2')).toMatchObject({
      SLUICE_CLUSTER_ID: clusterId,
      BROKER_ID: '2',
      BROKER_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/sluice_broker_2',
      SLUICE_BOOTSTRAP_BROKERS: brokers.map((address, index) => `${index + 1}=${address}`).join(','),
    })
    expect(await envOf('read-manager-1')).toMatchObject({
      SLUICE_BROKERS: brokers.join(','),
      READ_MANAGER_ID: '1',
    })
    expect(await envOf('load-balancer')).toMatchObject({
      LOAD_BALANCER_WRITE_MANAGERS: `http://127.0.0.1:${portOf('write-manager')}`,
      LOAD_BALANCER_READ_MANAGERS: `http://127.0.0.1:${portOf('read-manager-1')},http://127.0.0.1:${portOf('read-manager-2')}`,
    })
  })

  test('runs managers and load balancers in several copies, each told of all it needs', async () => {
    const given = await parts()
    const settings = { ...given.settings, writeManagerCount: 2, loadBalancerCount: 2 }
    await start({ ...given, settings })
    const { processes } = state()
    const named = (name: string) => processes.find((entry) => entry.name === name)!
    const writePorts = ['write-manager', 'write-manager-2'].map((name) => named(name).port!)
    for (const name of ['load-balancer', 'load-balancer-2']) {
      const response = await fetch(`http://127.0.0.1:${named(name).port}/env`)
      const { env } = (await response.json()) as { env: Record<string, string> }
      expect(env).toMatchObject({
        LOAD_BALANCER_PORT: String(named(name).port),
        LOAD_BALANCER_WRITE_MANAGERS: writePorts.map((port) => `http://127.0.0.1:${port}`).join(','),
      })
    }
    expect(named('load-balancer')).toMatchObject({ id: 1, port: settings.port })
    expect(named('load-balancer-2')).toMatchObject({ kind: 'load-balancer', id: 2 })
    expect(new Set(processes.map(({ port }) => port)).size).toBe(processes.length)
    expect(world.printed).toContain(`and at: http://127.0.0.1:${named('load-balancer-2').port}`)
    const all = pids()
    stop.abort()
    await running
    expect(all.filter(isAlive)).toEqual([])
  })

  test('brings a process back that was killed, and keeps the state file true', async () => {
    await start(await parts())
    const pidOf = (): number | null => state().processes.find(({ name }) => name === 'broker-1')!.pid
    const before = pidOf()!
    process.kill(before, 'SIGKILL')
    await until(() => world.printed.includes('broker-1 serves again'), 10_000)
    expect(pidOf()).not.toBe(before)
    expect(world.printed).toContain('broker-1 was ended by SIGKILL; starting it again')
  })

  test('writes each process its own log, and shows it readably', async () => {
    await start(await parts())
    const log = readFileSync(join(world.directory, 'logs', 'broker-1.log'), 'utf8')
    expect(JSON.parse(log.split('\n')[0]!)).toMatchObject({ msg: 'listening' })
    const pid = state().processes.find(({ name }) => name === 'write-manager')!.pid!
    process.kill(pid, 'SIGKILL')
    await until(
      () => /\d\d:\d\d:\d\d\.\d{3} write-manager {3}INFO {2}listening port=\d+/.test(world.printed),
      10_000,
    )
  })
})

describe('a start that cannot succeed', () => {
  test('shows why when a process fails, and leaves nothing running', async () => {
    world.order('broker-2', 'fail')
    await expect(runCluster(await parts(), stop.signal, () => undefined)).rejects.toThrow(
      'broker-2 ended with code 3',
    )
    expect(pids().filter(isAlive)).toEqual([])
    expect(world.events).toContain('stopped postgres')
    expect(existsSync(join(world.directory, 'sluice.lock'))).toBe(false)
  })

  test('says what to do when another program has the public port', async () => {
    const given = await parts()
    occupant = createServer().listen(given.settings.port, '127.0.0.1')
    await once(occupant, 'listening')
    await expect(runCluster(given, stop.signal, () => undefined)).rejects.toThrow(
      new RegExp(
        `^Port ${given.settings.port} is in use by another program; choose another one, for example: SLUICE_PORT=`,
      ),
    )
  })

  test('names the process of the cluster when it runs already', async () => {
    const given = await parts()
    await start(given)
    await expect(runCluster(given, stop.signal, () => undefined)).rejects.toThrow(
      `This cluster runs already on http://127.0.0.1:${given.settings.port}, as process ${process.pid}`,
    )
  })

  test('stops everything when it is told to stop half-way', async () => {
    world.order('load-balancer', 'late')
    running = runCluster(await parts(), stop.signal, () => undefined)
    await until(() => world.printed.includes('brokers ready 3/3'), 20_000)
    const all = pids()
    stop.abort()
    await running
    expect(all.length).toBe(7)
    expect(all.filter(isAlive)).toEqual([])
  })

  test('fails with the sentence of the database server', async () => {
    const given = { ...(await parts()), openDatabases: () => Promise.reject(new Error('no PostgreSQL here')) }
    await expect(runCluster(given, stop.signal, () => undefined)).rejects.toThrow('no PostgreSQL here')
    expect(pids().filter(isAlive)).toEqual([])
  })
})

describe('what an earlier run left behind', () => {
  test('is stopped before a new start', async () => {
    const given = await parts()
    const clusterId = 'a'.repeat(32)
    const orphanPort = await freePort()
    const orphan = fork(fixtureScripts.broker, [`--cluster=${clusterId}`, '--name=broker-1'], {
      env: { ...world.env, BROKER_PORT: String(orphanPort) },
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    await until(() => existsSync(join(world.directory, 'events')), 10_000)
    const entry = { name: 'broker-1', kind: 'broker', id: 1, pid: orphan.pid!, port: orphanPort } as const
    // This very process has the id of a leftover, too, but not its command line.
    const stranger = { name: 'broker-2', kind: 'broker', id: 2, pid: process.pid, port: 1 } as const
    const { host, port } = given.settings
    writeClusterFile(join(world.directory, 'cluster.json'), {
      version: 1,
      clusterId,
      host,
      port,
      postgresUrl: null,
      processes: [entry, stranger],
    })
    await start(given)
    expect(isAlive(orphan.pid!)).toBe(false)
    expect(world.printed).toContain(`stopping what an earlier run left behind: broker-1 (${orphan.pid!})`)
    expect(state().clusterId).toBe(clusterId)
    expect(state().processes.find(({ name }) => name === 'broker-1')!.port).toBe(orphanPort)
  })
})
