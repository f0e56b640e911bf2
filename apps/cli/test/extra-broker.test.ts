import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '@sluice/foundation'
import { freePort } from './free-port.js'
import { type ExtraBrokerParts, runExtraBroker } from '../src/broker-command.js'
import { newClusterId, writeClusterFile } from '../src/cluster-file.js'
import { DataLock } from '../src/data-lock.js'
import { describeStatus } from '../src/status-command.js'
import { fixtureScripts, shortTimes, until, World } from './world.js'

let world: World
let stop: AbortController
let running: Promise<void> | undefined
let parts: ExtraBrokerParts

beforeEach(async () => {
  world = new World()
  stop = new AbortController()
  running = undefined
  const port = await freePort()
  parts = {
    dataDirectory: world.directory,
    port,
    script: fixtureScripts.broker,
    baseEnv: world.env,
    databasePrefix: 'extra_test_',
    times: shortTimes,
    terminal: world.terminal,
    clock: systemClock,
  }
})

afterEach(async () => {
  stop.abort()
  await running?.catch(() => undefined)
  world.remove()
})

function pretendClusterRuns(): DataLock {
  writeClusterFile(join(world.directory, 'cluster.json'), {
    version: 1,
    clusterId: newClusterId(),
    host: '127.0.0.1',
    port: 8080,
    postgresUrl: process.env['SLUICE_TEST_POSTGRES_URL'] ?? '',
    processes: [],
  })
  return DataLock.take(join(world.directory, 'sluice.lock'))
}

describe('one more broker', () => {
  test('needs a cluster that runs', async () => {
    await expect(runExtraBroker(parts, stop.signal, () => undefined)).rejects.toThrow('No cluster runs in')
    pretendClusterRuns().release()
    await expect(runExtraBroker(parts, stop.signal, () => undefined)).rejects.toThrow('No cluster runs in')
  })

  test('waits to be added, belongs to no cluster yet, and is shown among the processes', async () => {
    const lock = pretendClusterRuns()
    running = runExtraBroker(parts, stop.signal, () => undefined)
    await Promise.race([running, until(() => world.printed.includes('A broker waits'), 20_000)])
    expect(world.printed).toContain(
      `curl http://127.0.0.1:8080/broker -H 'content-type: application/json' -d '{"port":${parts.port}}'`,
    )
    const response = await fetch(`http://127.0.0.1:${parts.port}/env`)
    const { env } = (await response.json()) as { env: Record<string, string> }
    expect(env).toMatchObject({
      BROKER_PORT: String(parts.port),
      SLUICE_CLUSTER_ID: '',
      SLUICE_BOOTSTRAP_BROKERS: '',
    })
    expect(env['BROKER_DATABASE_URL']).toMatch(new RegExp(`/extra_test_${parts.port}$`))
    expect(describeStatus(world.directory).lines.join('\n')).toMatch(
      new RegExp(`broker-extra-${parts.port} +\\d+ +${parts.port} +alive`),
    )
    await expect(runExtraBroker(parts, stop.signal, () => undefined)).rejects.toThrow('runs already')
    stop.abort()
    await running
    expect(world.events).toEqual([`started broker-extra-${parts.port}`, `stopped broker-extra-${parts.port}`])
    lock.release()
  })
})
