import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type ClusterState, writeClusterFile } from '../src/cluster-file.js'
import { planBrokers } from '../src/cluster-plan.js'
import { givenUpBrokers, noteGivenUp } from '../src/given-up.js'

const ID = 'a'.repeat(32)
let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-given-up-'))
  const state: ClusterState = {
    version: 1,
    clusterId: ID,
    host: 'h',
    port: 1,
    postgresUrl: null,
    processes: [],
  }
  writeClusterFile(join(directory, 'cluster.json'), state)
})

afterEach(() => {
  rmSync(directory, { recursive: true })
})

describe('brokers that were given up', () => {
  test('are remembered, all of them, for the cluster that they were part of', () => {
    expect([...givenUpBrokers(directory, ID)]).toEqual([])
    noteGivenUp(directory, ID, [3, 2])
    noteGivenUp(directory, ID, [3, 5])
    expect([...givenUpBrokers(directory, ID)]).toEqual([2, 3, 5])
    expect([...givenUpBrokers(directory, 'b'.repeat(32))]).toEqual([])
  })

  test('of a cluster that was started elsewhere are none of this directory', () => {
    noteGivenUp(directory, 'b'.repeat(32), [1])
    expect([...givenUpBrokers(directory, 'b'.repeat(32))]).toEqual([])
  })

  test('are not guessed from a file that cannot be read', () => {
    writeFileSync(join(directory, 'given-up.json'), '{"brokers":["1"]}')
    expect(() => givenUpBrokers(directory, ID)).toThrow(/given-up.json cannot be read/)
  })

  test('are not started again, while the others know each other as before', () => {
    const ports = new Map([1, 2, 3].map((id) => [`broker-${id}`, 7000 + id]))
    const shape = {
      clusterId: ID,
      dataDirectory: directory,
      host: 'h',
      port: 8080,
      brokerCount: 3,
      readManagerCount: 1,
      writeManagerCount: 1,
      loadBalancerCount: 1,
    }
    const scripts = { broker: 'b', writeManager: 'w', readManager: 'r', loadBalancer: 'l' }
    const started = (givenUp: readonly number[]) =>
      planBrokers({ ...shape, givenUp: new Set(givenUp) }, ports, new Map(), scripts)
    expect(started([2, 3]).map(({ name }) => name)).toEqual(['broker-1'])
    expect(started([2, 3])[0]?.env).toEqual(started([])[0]?.env)
  })
})
