import { afterEach, expect, test } from '@jest/globals'
import { faultsOf, LocalCluster, runRealInput, TOPICS } from '../src/index.js'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { runKillLeader } from '../src/kill-leader.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

// A low threshold, so that topics grow to several partitions while they are written and read.
const GROWING = { SLUICE_PARTITION_MESSAGES_MAX: '500' }

test('three producers and three consumers at once: 2979, 2648 and 2648 messages, each once and in order', async () => {
  cluster = await LocalCluster.start({ env: GROWING })
  const result = await runRealInput(cluster.api)
  expect(faultsOf(result)).toEqual([])
  expect(result.delivered.map((list) => list.length)).toEqual([2979, 2648, 2648])
  expect(result.refused).toBe(0)
  const { body } = await cluster.api.get('/topics/T-1')
  expect((body['partitions'] as unknown[]).length).toBeGreaterThan(2)
  expect(await acknowledgedInEachDatabase(cluster, TOPICS, 2979)).toEqual([2979, 2979, 2979])
})

test('the leader of T-1.1 killed half-way and started again 5 s later: nothing lost, nothing twice', async () => {
  const { faults } = await runKillLeader()
  expect(faults).toEqual([])
})
