import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { encodeJson, RpcMethod } from '@sluice/contracts'
import { BrokerError, encodeRecordBatch, toGroupId } from '@sluice/domain'
import { SeededRandom, systemClock } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { pino } from 'pino'
import { ClusterClient, type FetchWish } from '../src/index.js'
import { FakeBroker, FakeCluster } from '../src/testing/index.js'

const logger = pino({ level: 'silent' })
let cluster: FakeCluster
let client: ClusterClient

function connect(): ClusterClient {
  const made = new ClusterClient({
    clusterId: cluster.clusterId,
    nodeId: 'manager-1',
    seeds: cluster.addresses(),
    clock: systemClock,
    random: new SeededRandom(7),
    logger,
  })
  made.start()
  return made
}

function batch(sequence: number, ...values: string[]): Uint8Array {
  return encodeRecordBatch({
    records: values.map((value) => ({ timestamp: 1000, key: null, value: Buffer.from(value), headers: [] })),
    producerId: 77n,
    producerEpoch: 0,
    baseSequence: sequence,
  })
}

function createTopic(topic: string, partitions = 1): void {
  cluster.metadata.propose({ kind: 'create-topic', at: 1, topic, partitions })
}

beforeEach(async () => {
  cluster = await FakeCluster.start()
  client = connect()
  await eventually(() => expect(client.metadata.ready).toBe(true))
})

afterEach(async () => {
  await client.close()
  await cluster.close()
})

test('a call to a partition whose topic is deleted ends with that, before its time is up', async () => {
  createTopic('orders')
  await eventually(() => expect(client.metadata.state.topic('orders')).toBeDefined())
  const group = toGroupId(cluster.groupOf('orders'))
  cluster.script = (call, carryOut) => {
    if (call.method === RpcMethod.PRODUCE)
      throw new BrokerError('NOT_LEADER', 'no replica here', { outcome: 'unknown' })
    return carryOut()
  }
  const produced = client.partitions.produce(group, batch(0, 'a'), { timeoutMs: 60_000 })
  await eventually(() => expect(cluster.callsOf(RpcMethod.PRODUCE).length).toBeGreaterThan(0))
  cluster.metadata.propose({ kind: 'delete-topic', at: 1, topic: 'orders' })
  await expect(produced).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' })
  await expect(client.partitions.offsets(group, 0, { timeoutMs: 60_000 })).rejects.toMatchObject({
    code: 'TOPIC_NOT_FOUND',
  })
})

test('a client that is older than the cluster is not ready, until it understands the metadata again', async () => {
  createTopic('orders')
  await eventually(() => expect(client.metadata.state.topic('orders')).toBeDefined())
  cluster.script = (call, carryOut) => {
    if (call.method !== RpcMethod.META_FOLLOW) return carryOut()
    const future = [cluster.metadata.version + 1, { kind: 'split-partition', at: 1 }]
    return encodeJson({ entries: [future], version: cluster.metadata.version + 1 })
  }
  createTopic('more')
  await eventually(() => expect(client.metadata.ready).toBe(false))
  expect(client.metadata.state.topic('orders')).toBeDefined()
  cluster.script = (_call, carryOut) => carryOut()
  await eventually(() => expect(client.metadata.ready).toBe(true))
})

describe('the metadata follower', () => {
  test('hears of changes and tells its listeners', async () => {
    let changes = 0
    const stop = client.metadata.onChange(() => changes++)
    createTopic('orders')
    await eventually(() => expect(client.metadata.state.topic('orders')).toBeDefined())
    expect(changes).toBe(1)
    stop()
    createTopic('more')
    await eventually(() => expect(client.metadata.state.topic('more')).toBeDefined())
    expect(changes).toBe(1)
  })

  test('starts from a snapshot when the broker no longer has the commands', async () => {
    createTopic('orders', 2)
    cluster.metadata.compactedIndex = cluster.metadata.version
    const late = connect()
    try {
      await eventually(() => expect(late.metadata.ready).toBe(true))
      expect(late.metadata.state.partitionsOf('orders')).toHaveLength(2)
      createTopic('more')
      await eventually(() => expect(late.metadata.state.topic('more')).toBeDefined())
    } finally {
      await late.close()
    }
  })

  test('goes on with another broker when its source dies', async () => {
    await cluster.broker(1).stop()
    await cluster.broker(2).stop()
    createTopic('orders')
    await eventually(() => expect(client.metadata.state.topic('orders')).toBeDefined())
  })

  test('a refresh shows everything decided before it, also entries that are no commands', async () => {
    createTopic('orders')
    cluster.metadata.skip()
    const version = cluster.metadata.version
    await client.metadata.refresh()
    expect(client.metadata.version).toBeGreaterThanOrEqual(version)
    expect(client.metadata.state.topic('orders')).toBeDefined()
  })

  test('refreshes share one question, but never one from before they asked', async () => {
    const before = cluster.callsOf(RpcMethod.META_VERSION).length
    await Promise.all(Array.from({ length: 50 }, () => client.metadata.refresh()))
    expect(cluster.callsOf(RpcMethod.META_VERSION).length - before).toBeLessThanOrEqual(2)
  })

  test('a proposal finds the leader by its hint and is visible here when it is answered', async () => {
    cluster.metadataLeader = 3
    const result = await client.metadata.propose(
      { kind: 'register-producer', at: 1, topic: 'orders' },
      { timeoutMs: 5000 },
    )
    expect(result).toMatchObject({ producerId: 1, topicCreated: true })
    expect(client.metadata.state.producer(1)?.topic).toBe('orders')
  })

  test('a refusal of the metadata is thrown with its code and field', async () => {
    createTopic('orders')
    const proposed = client.metadata.propose(
      { kind: 'create-topic', at: 1, topic: 'orders', partitions: 1 },
      { timeoutMs: 5000 },
    )
    await expect(proposed).rejects.toMatchObject({ code: 'TOPIC_EXISTS', field: 'topic_name', outcome: 'no' })
  })

  test('a proposal whose answer is lost is not made again unless it may be', async () => {
    cluster.script = async (call, next) => {
      const answer = await next()
      if (call.method !== RpcMethod.META_PROPOSE) return answer
      cluster.script = (_call, now) => now()
      await cluster.broker(call.brokerId).stop()
      return answer
    }
    const proposed = client.metadata.propose(
      { kind: 'register-producer', at: 1, topic: 'orders' },
      { timeoutMs: 2000 },
    )
    await expect(proposed).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' })
    expect(cluster.metadata.state.producer(2)).toBeUndefined()
  })

  test('without a leader a proposal ends with NO_QUORUM, and certainly nothing changed', async () => {
    cluster.metadataLeader = 99
    const proposed = client.metadata.propose(
      { kind: 'register-producer', at: 1, topic: 'orders' },
      { timeoutMs: 300 },
    )
    await expect(proposed).rejects.toMatchObject({ code: 'NO_QUORUM', outcome: 'no', retriable: true })
  })
})

describe('the partition client', () => {
  test('follows a leader that moves', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    expect(await client.partitions.produce(groupId, batch(0, 'a'), { timeoutMs: 2000 })).toMatchObject({
      baseOffset: 0,
    })
    const next = (cluster.leaderOf(groupId) % 3) + 1
    cluster.moveLeader(groupId, next)
    expect(await client.partitions.produce(groupId, batch(1, 'b'), { timeoutMs: 2000 })).toMatchObject({
      baseOffset: 1,
    })
    const before = cluster.callsOf(RpcMethod.PRODUCE).length
    await client.partitions.produce(groupId, batch(2, 'c'), { timeoutMs: 2000 })
    expect(cluster.callsOf(RpcMethod.PRODUCE).slice(before)).toMatchObject([{ brokerId: next }])
  })

  test('a leader that stands still is left as soon as another member knows its successor', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    const still = cluster.leaderOf(groupId)
    cluster.script = (call, next) => {
      if (call.brokerId !== still || call.method !== RpcMethod.PRODUCE) return next()
      cluster.moveLeader(groupId, (still % 3) + 1)
      return new Promise(() => undefined)
    }
    // Less than what one try may take: it would be the only one.
    const answer = await client.partitions.produce(groupId, batch(0, 'a'), { timeoutMs: 2900 })
    expect(answer).toMatchObject({ baseOffset: 0 })
  })

  test('a slow leader that still leads is not sent the same again', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    cluster.script = async (call, next) => {
      if (call.method === RpcMethod.PRODUCE)
        await eventually(() => expect(cluster.callsOf(RpcMethod.OFFSETS).length).toBeGreaterThan(0))
      return next()
    }
    await client.partitions.produce(groupId, batch(0, 'a'), { timeoutMs: 60_000 })
    expect(cluster.callsOf(RpcMethod.PRODUCE)).toHaveLength(1)
    const leader = cluster.leaderOf(groupId)
    expect(cluster.callsOf(RpcMethod.OFFSETS).map(({ brokerId }) => brokerId)).not.toContain(leader)
  })

  test('a leader that dies after it stored, before it answered: stored once, answered with its offset', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    cluster.script = async (call, next) => {
      const answer = await next()
      if (call.method !== RpcMethod.PRODUCE) return answer
      cluster.script = (_call, now) => now()
      cluster.moveLeader(groupId, (call.brokerId % 3) + 1)
      await cluster.broker(call.brokerId).stop()
      return answer
    }
    const answer = await client.partitions.produce(groupId, batch(0, 'a', 'b'), { timeoutMs: 5000 })
    expect(answer).toEqual({ baseOffset: 0, endOffset: 2, duplicate: true })
    expect(cluster.partition('orders').end).toBe(2)
  })

  test('a produce that may have been stored ends with TIMEOUT and outcome unknown', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    cluster.script = async (call, next) => {
      if (call.method !== RpcMethod.PRODUCE) return next()
      await next()
      cluster.moveLeader(groupId, 99)
      throw new BrokerError('NOT_LEADER', 'leadership was lost meanwhile', { outcome: 'unknown' })
    }
    const produced = client.partitions.produce(groupId, batch(0, 'a'), { timeoutMs: 300 })
    await expect(produced).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' })
  })

  test('without a leader a produce ends with NO_QUORUM, and certainly nothing is stored', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    cluster.moveLeader(groupId, 99)
    const produced = client.partitions.produce(groupId, batch(0, 'a'), { timeoutMs: 300 })
    await expect(produced).rejects.toMatchObject({ code: 'NO_QUORUM', outcome: 'no', component: 'broker' })
    expect(cluster.partition('orders').end).toBe(0)
  })

  test('a fetch that nobody waits for any more is not tried again, and says whether it may have given something', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    const wish: FetchWish = {
      consumerId: 1,
      requestId: 'ab'.repeat(16),
      holder: 1,
      messagesMax: 1,
      bytesMax: 1000,
      autoAck: true,
      lookupOnly: false,
      skipDeleted: true,
    }
    for (const outcome of ['no', 'unknown'] as const) {
      let wanted = true
      const before = cluster.callsOf(RpcMethod.FETCH).length
      cluster.script = (call, next) => {
        if (call.method !== RpcMethod.FETCH) return next()
        wanted = false
        throw new BrokerError('NOT_LEADER', 'leadership was lost', { outcome })
      }
      const isWanted = (): Promise<boolean> => Promise.resolve(wanted)
      const fetched = client.partitions.fetch(groupId, wish, { timeoutMs: 60_000, isWanted })
      await expect(fetched).rejects.toMatchObject({ code: 'MANAGER_UNAVAILABLE', outcome })
      expect(cluster.callsOf(RpcMethod.FETCH)).toHaveLength(before + 1)
    }
  })

  test('what the leader refuses for good is thrown at once', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    await client.partitions.produce(groupId, batch(5, 'a'), { timeoutMs: 2000 })
    const stale = client.partitions.produce(groupId, batch(1, 'b'), { timeoutMs: 2000 })
    await expect(stale).rejects.toMatchObject({ code: 'STALE_SEQUENCE', outcome: 'no' })
    expect(cluster.callsOf(RpcMethod.PRODUCE)).toHaveLength(2)
  })

  test('a broker that has not heard of a new partition yet is asked again', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    let refusals = 0
    cluster.script = (call, next) => {
      if (call.method !== RpcMethod.PRODUCE || refusals++ >= 3) return next()
      throw new BrokerError('PARTITION_NOT_FOUND', 'no such group here', { outcome: 'no' })
    }
    const answer = await client.partitions.produce(groupId, batch(0, 'a'), { timeoutMs: 5000 })
    expect(answer).toMatchObject({ baseOffset: 0 })
  })

  test('a wait for the end is answered when a message comes', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    const { signal } = new AbortController()
    const end = client.partitions.awaitEnd(groupId, 0, { waitMs: 5000, signal })
    await eventually(() => expect(cluster.callsOf(RpcMethod.AWAIT)).not.toHaveLength(0))
    await client.partitions.produce(groupId, batch(0, 'a'), { timeoutMs: 2000 })
    await expect(end).resolves.toBe(1)
  })

  test('closing ends the calls under way', async () => {
    createTopic('orders')
    await client.metadata.refresh()
    const groupId = toGroupId(cluster.groupOf('orders'))
    cluster.moveLeader(groupId, 99)
    const produced = client.partitions.produce(groupId, batch(0, 'a'), { timeoutMs: 60_000 })
    const outcome = produced.catch((error: unknown) => error)
    await eventually(() => expect(cluster.callsOf(RpcMethod.PRODUCE)).not.toHaveLength(0))
    await client.close()
    expect(await outcome).toMatchObject({ code: 'SHUTTING_DOWN' })
  })
})

describe('activity', () => {
  test('goes to the metadata leader in one message, the newest time of each actor', async () => {
    cluster.metadataLeader = 2
    client.activity.seen('producer', 1)
    client.activity.seen('producer', 2)
    client.activity.seen('producer', 1)
    client.activity.seen('consumer', 9)
    await client.activity.report()
    await client.activity.report()
    const at = (kind: 'producer' | 'consumer', id: number): unknown => [
      id,
      client.activity.lastSeen(kind, id),
    ]
    expect(cluster.activity).toEqual([
      {
        now: expect.any(Number),
        producers: [at('producer', 1), at('producer', 2)],
        consumers: [at('consumer', 9)],
        brokers: [],
      },
    ])
  })

  test('what could not be reported goes with the next report', async () => {
    client.activity.seen('producer', 1)
    cluster.script = (call, next) => {
      if (call.method !== RpcMethod.ACTIVITY) return next()
      throw new BrokerError('OVERLOADED', 'later', { outcome: 'no' })
    }
    await client.activity.report()
    expect(cluster.activity).toEqual([])
    cluster.script = (_call, next) => next()
    await client.activity.report()
    expect(cluster.activity).toMatchObject([{ producers: [[1, expect.any(Number)]] }])
  })
})

describe('calls to a broker process that is not of this cluster', () => {
  test('nothing listens: BROKER_UNREACHABLE', async () => {
    const gone = new FakeBroker({ nodeId: 'x', clusterId: () => '', answer: () => new Uint8Array(0) })
    await gone.start()
    await gone.stop()
    const node = client.node({ host: '127.0.0.1', port: gone.port })
    await expect(node.info()).rejects.toMatchObject({ code: 'BROKER_UNREACHABLE', outcome: 'no' })
    await node.close()
  })

  test('it speaks no version of the protocol that is known here: UNSUPPORTED_VERSION', async () => {
    const newer = http.createServer()
    newer.on('upgrade', (_request, socket) => {
      const body = JSON.stringify({
        code: 'UNSUPPORTED_VERSION',
        message: 'version 9.0.0 speaks sluice-rpc/9',
      })
      socket.end(`HTTP/1.1 426 Refused\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`)
    })
    await new Promise<void>((resolve) => newer.listen(0, '127.0.0.1', resolve))
    const node = client.node({ host: '127.0.0.1', port: (newer.address() as AddressInfo).port })
    await expect(node.info()).rejects.toMatchObject({
      code: 'UNSUPPORTED_VERSION',
      outcome: 'no',
      component: 'broker',
      message: expect.stringContaining('version 9.0.0 speaks sluice-rpc/9'),
    })
    await node.close()
    await new Promise((resolve) => newer.close(resolve))
  })

  test('something that is no broker answers: BROKER_REFUSED', async () => {
    const stranger = new FakeBroker({
      nodeId: 'x',
      clusterId: () => 'another',
      answer: () => new TextEncoder().encode('{"hello":1}'),
    })
    await stranger.start()
    const node = client.node({ host: '127.0.0.1', port: stranger.port })
    await expect(node.info()).rejects.toMatchObject({ code: 'BROKER_REFUSED', outcome: 'no' })
    await node.close()
    await stranger.stop()
  })
})
