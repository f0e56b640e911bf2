import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Running, runWriteManager } from './running-write-manager.js'

let running: Running

beforeEach(async () => {
  running = await runWriteManager()
})

afterEach(async () => {
  await running.stop()
})

const state = (): Running['cluster']['metadata']['state'] => running.cluster.metadata.state

/** A topic with replicas on two of the three brokers, and all of its leaders on one. */
async function lopsided(): Promise<void> {
  await running.call('POST', '/topics', { topic: 'a', partitions: 4, replication_factor: 2 })
  for (const { groupId } of state().partitionsOf('a')) {
    running.cluster.metadata.propose({ kind: 'move-replicas', at: 1, groupId, target: [1, 2] })
    const { moveId } = state().partitionByGroup(groupId)!
    // On these two already: only their order has changed.
    if (moveId === 0) continue
    running.cluster.metadata.propose({ kind: 'move-done', at: 1, groupId, moveId })
    for (const brokerId of [1, 2, 3])
      running.cluster.metadata.propose({ kind: 'replica-dropped', at: 1, groupId, brokerId })
    running.cluster.metadata.propose({ kind: 'move-settled', at: 1, groupId, moveId })
  }
}

describe('POST /rebalance', () => {
  test('with dry_run shows the plan and changes nothing', async () => {
    await lopsided()
    const version = state().version
    const { status, body } = await running.call('POST', '/rebalance?dry_run=true')
    expect(status).toBe(200)
    expect(body).toMatchObject({ status: 'success', dry_run: true, bytes: 0 })
    expect(body['expected_ms']).toBeGreaterThan(0)
    const moves = body['moves'] as { partition: string; from: number[]; to: number[] }[]
    expect(moves).toHaveLength(body['moves_total'] as number)
    expect(moves.filter(({ to }) => to.includes(3)).length).toBeGreaterThanOrEqual(2)
    expect(moves.every(({ partition, from }) => partition.startsWith('a.') && from.join() === '1,2')).toBe(
      true,
    )
    expect(state().version).toBe(version)
    expect(await running.call('GET', '/rebalance')).toMatchObject({
      status: 404,
      body: { code: 'PLAN_NOT_FOUND' },
    })
  })

  test('runs the plan, once at a time; it shows how far it is, and can be called off', async () => {
    await lopsided()
    const started = await running.call('POST', '/rebalance', { moves_at_once: 1, move_timeout_ms: 5000 })
    expect(started).toMatchObject({ status: 200, body: { rebalance_id: 1, dry_run: false } })
    expect(state().plan).toMatchObject({ movesAtOnce: 1, moveTimeoutMs: 5000, state: 'running' })
    expect(await running.call('POST', '/rebalance')).toMatchObject({
      status: 409,
      body: { code: 'PLAN_RUNNING', retriable: true, outcome: 'no' },
    })
    const total = started.body['moves_total']
    expect(await running.call('GET', '/rebalance')).toMatchObject({
      status: 200,
      body: { rebalance_id: 1, state: 'running', reason: 'asked-for', moves_by_state: { waiting: total } },
    })
    expect(await running.call('DELETE', '/rebalance')).toMatchObject({
      status: 200,
      body: { state: 'cancelled' },
    })
    expect(await running.call('DELETE', '/rebalance')).toMatchObject({
      status: 404,
      body: { code: 'PLAN_NOT_FOUND' },
    })
  })

  test.each([
    ['moves_at_once', { moves_at_once: 0 }],
    ['move_timeout_ms', { move_timeout_ms: 'soon' }],
    ['dry_run', { dry_run: 'perhaps' }],
    ['speed', { speed: 1 }],
  ])('with a bad %s is refused', async (field, body) => {
    expect(await running.call('POST', '/rebalance', body)).toMatchObject({
      status: 400,
      body: { code: 'INVALID_REQUEST', field, component: 'write-manager' },
    })
    expect(state().plan).toBeUndefined()
  })
})

describe('DELETE /broker', () => {
  test('begins to empty a broker, by path or by body', async () => {
    await running.call('POST', '/topics', { topic: 'a', replication_factor: 1 })
    expect(await running.call('DELETE', '/broker/1')).toMatchObject({ status: 200, body: { broker_id: 1 } })
    expect(await running.call('DELETE', '/broker/remove', { broker_id: 2 })).toMatchObject({ status: 200 })
    expect(
      state()
        .brokers()
        .map((broker) => broker.state),
    ).toEqual(['removing', 'removing', 'active'])
    expect(await running.call('DELETE', '/broker/3')).toMatchObject({
      status: 409,
      body: { code: 'LAST_BROKER' },
    })
  })

  test('is refused while a topic needs the broker, unless it is forced', async () => {
    await running.call('POST', '/topics', { topic: 'a', replication_factor: 3 })
    expect(await running.call('DELETE', '/broker/1')).toMatchObject({
      status: 503,
      body: { code: 'NOT_ENOUGH_BROKERS', field: 'broker_id', outcome: 'no' },
    })
    expect(state().broker(1)!.state).toBe('active')
    expect(await running.call('DELETE', '/broker/1?force=true')).toMatchObject({ status: 200 })
    expect(state().broker(1)!.state).toBe('evicted')
  })

  test.each([
    ['/broker/9', 404, 'BROKER_NOT_FOUND'],
    ['/broker/none', 400, 'INVALID_REQUEST'],
    ['/broker/1?force=maybe', 400, 'INVALID_REQUEST'],
    ['/broker/remove', 400, 'INVALID_REQUEST'],
  ])('of %s is refused', async (url, status, code) => {
    expect(await running.call('DELETE', url)).toMatchObject({ status, body: { code } })
  })
})

describe('maintenance', () => {
  test('is switched on and off, and shown with the brokers', async () => {
    expect(await running.call('POST', '/broker/2/maintenance')).toMatchObject({
      status: 200,
      body: { maintenance: true },
    })
    const { body } = await running.call('GET', '/brokers')
    expect(body['brokers']).toContainEqual(
      // The brokers of this cluster do not say how they are.
      expect.objectContaining({ broker_id: 2, state: 'maintenance', leads: null, version: null, disk: null }),
    )
    expect(await running.call('POST', '/broker/2/maintenance', { enabled: false })).toMatchObject({
      status: 200,
    })
    expect(state().broker(2)!.state).toBe('active')
  })

  test('is not for a broker that leaves, and for none that does not exist', async () => {
    await running.call('DELETE', '/broker/1')
    expect(await running.call('POST', '/broker/1/maintenance')).toMatchObject({
      status: 400,
      body: { code: 'INVALID_REQUEST', field: 'broker_id' },
    })
    expect(state().broker(1)!.state).toBe('removing')
    expect(await running.call('POST', '/broker/7/maintenance')).toMatchObject({ status: 404 })
    expect(await running.call('POST', '/broker/2/maintenance', { enabled: 'perhaps' })).toMatchObject({
      status: 400,
    })
  })
})
