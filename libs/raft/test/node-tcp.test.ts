import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { eventually } from '@sluice/foundation/testing'
import { BindError } from '../src/node/errors.js'
import { type Member, submit, TcpCluster } from './node-tcp-cluster.js'

let cluster: TcpCluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

async function make(...args: Parameters<typeof TcpCluster.make>): Promise<TcpCluster> {
  cluster = await TcpCluster.make(...args)
  return cluster
}

function leaderOf(members: readonly Member[]): Member {
  const leaders = members.filter(({ group }) => group.node.group.isLeader)
  expect(leaders).toHaveLength(1)
  return leaders[0]!
}

describe('nodes over TCP with logs on disk', () => {
  test('replicate, and have everything again after all of them were stopped', async () => {
    const made = await make(3)
    const first = await made.startAll()
    for (let i = 0; i < 9; i++) await submit(first[i % 3]!, `x${i}`)
    for (const member of first) await made.stop(member)
    const again = await made.startAll()
    await submit(again[0]!, 'after')
    await Promise.all(again.map(({ group }) => group.node.barrier()))
    for (const { machine } of again) expect(machine.texts).toHaveLength(10)
    expect(again[0]!.group.status().term).toBeGreaterThan(0)
  })

  // PySyncObj #84, §2.8 fault 1: terms and votes were not stored.
  test('keep their terms over a restart of all', async () => {
    const made = await make(3)
    const first = await made.startAll()
    await submit(first[0]!, 'x')
    const term = Math.max(...first.map(({ group }) => group.status().term))
    for (const member of first) await made.stop(member)
    const again = await made.startAll()
    for (const { group } of again) expect(group.status().term).toBeGreaterThan(term)
  })

  test('replay their log after a restart without waiting for anybody', async () => {
    const made = await make(3)
    const first = await made.startAll()
    for (let i = 0; i < 5; i++) await submit(first[0]!, `x${i}`)
    await eventually(() => expect(first[0]!.machine.texts).toHaveLength(5))
    for (const member of first) await made.stop(member)
    const alone = await made.start(0)
    await eventually(() => expect(alone.machine.texts.length).toBeGreaterThanOrEqual(4))
    expect(alone.group.isReady).toBe(false)
  })

  test('go on when their leader is gone, and it catches up when it is back', async () => {
    const made = await make(3)
    const members = await made.startAll()
    await submit(members[0]!, 'one')
    const old = leaderOf(members)
    const index = members.indexOf(old)
    await made.stop(old)
    const rest = members.filter((member) => member !== old)
    expect(await submit(rest[0]!, 'two')).toBe(2)
    const back = await made.start(index)
    await back.group.ready
    expect(back.machine.texts).toEqual(['one', 'two'])
  })

  // §4.5 row 41: a wiped disk (etcd #13509).
  test('refuse one that comes back under its address with an empty disk', async () => {
    const made = await make(3)
    const members = await made.startAll()
    await submit(members[0]!, 'x')
    await made.stop(members[2]!)
    await rm(made.directory(2), { recursive: true })
    const wiped = await made.start(2)
    await eventually(() => {
      const refusals = [members[0]!, members[1]!, wiped].map((member) =>
        member.events.some((event) => event.kind === 'peer-refused' && event.code === 'NODE_REPLACED'),
      )
      expect(refusals).toEqual([true, true, true])
    })
    expect(wiped.group.isReady).toBe(false)
    expect(wiped.machine.texts).toEqual([])
    await submit(members[0]!, 'the others go on')
  })

  test('take a wiped one in again, after it was removed and added', async () => {
    const made = await make(3)
    const members = await made.startAll()
    await submit(members[0]!, 'x')
    await made.stop(members[2]!)
    await rm(made.directory(2), { recursive: true })
    const address = made.addresses[2]!
    const { operators } = members[0]!.group
    await operators.perform({ kind: 'remove', address })
    await operators.perform({ kind: 'add', address })
    const back = await made.start(2, { join: true })
    await back.group.ready
    expect(back.machine.texts).toEqual(['x'])
    await eventually(() => expect(back.group.node.group.configuration.voters).toHaveLength(3))
  })

  test.each([
    ['of another cluster', { clusterName: 'other' }, 'CLUSTER'],
    ['with another secret', { secret: 'another long secret' }, 'SECRET_WRONG'],
    ['without the secret', { secret: undefined }, 'SECRET_MISSING'],
  ])('refuse a node %s, and go on without it', async (_name, config, code) => {
    const made = await make(3, { secret: 'a long enough secret' })
    const members = [await made.start(0), await made.start(1)]
    await Promise.all(members.map(({ group }) => group.ready))
    const stranger = await made.start(2, { config: config })
    await eventually(() => {
      const codes = stranger.events.map((event) => (event.kind === 'peer-refused' ? event.code : ''))
      expect(codes).toContain(code)
    })
    expect(await submit(members[0]!, 'x')).toBe(1)
    expect(stranger.machine.texts).toEqual([])
  })

  test('tell when their address is taken, after as many attempts as they may make', async () => {
    const made = await make(1)
    const port = Number(made.addresses[0]!.split(':')[1])
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    const member = await made.start(0, { config: { bindRetryMs: 10, bindRetriesMax: 2 } })
    await expect(member.started).rejects.toThrow(BindError)
    await new Promise((resolve) => server.close(resolve))
  })

  test('wait until their address is free', async () => {
    const made = await make(1)
    const port = Number(made.addresses[0]!.split(':')[1])
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    const member = await made.start(0, { config: { bindRetryMs: 10 } })
    await new Promise((resolve) => server.close(resolve))
    await member.started
  })
})

describe('large commands', () => {
  test('of a megabyte pass from a follower to everybody', async () => {
    const made = await make(3)
    const members = await made.startAll()
    const text = 'x'.repeat(1024 * 1024)
    const follower = members.find((member) => member !== leaderOf(members))!
    expect(await submit(follower, text)).toBe(1)
    await Promise.all(members.map(({ group }) => group.node.barrier()))
    for (const { machine } of members) expect(machine.texts).toEqual([text])
  })
})

describe('snapshots on disk', () => {
  test('and the log behind them give everything back after a restart of all', async () => {
    const made = await make(3, { logCompactionMinEntries: 20 })
    const first = await made.startAll()
    for (let i = 0; i < 30; i++) await Promise.all(first.map((member) => submit(member, `x${i}`)))
    await eventually(() => {
      for (const { group } of first) expect(group.status().logSize).toBeLessThan(30)
    })
    const texts = [...first[0]!.machine.texts]
    for (const member of first) await made.stop(member)
    const again = await made.startAll()
    for (const { machine } of again) {
      expect(machine.restored).toBe(1)
      expect(machine.texts).toEqual(texts)
    }
    expect(await submit(again[0]!, 'after')).toBe(91)
  })

  test('forced, keep a member that is added later able to join', async () => {
    const made = await make(3)
    const [a, b] = [
      await made.start(0, { others: made.addresses.slice(0, 2) }),
      await made.start(1, { others: made.addresses.slice(0, 2) }),
    ]
    await a.group.ready
    for (let i = 0; i < 10; i++) await submit(b, `x${i}`)
    await a.group.node.forceCompaction()
    await b.group.node.forceCompaction()
    expect(a.group.status().logSize).toBe(0)
    await a.group.operators.perform({ kind: 'add', address: made.addresses[2]! })
    const late = await made.start(2, { join: true })
    await late.group.ready
    expect(late.machine.texts).toHaveLength(10)
    expect(late.machine.restored).toBe(1)
  })
})

describe('custom snapshots', () => {
  async function* inverted(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const chunk of chunks) yield chunk.map((byte) => byte ^ 0xff)
  }

  test('are written and read in their own way, and fill a member that was away', async () => {
    const made = await make(3, {
      snapshots: { serialize: inverted, deserialize: inverted },
      logCompactionMinEntries: 4,
    })
    const members = await made.startAll()
    await made.stop(members[2]!)
    for (let i = 0; i < 40; i++) await submit(members[0]!, `x${i}`)
    await members[0]!.group.node.forceCompaction()
    await members[1]!.group.node.forceCompaction()
    const back = await made.start(2)
    await back.group.ready
    expect(back.machine.restored).toBe(1)
    expect(back.machine.texts).toHaveLength(40)
    await made.stop(back)
    const again = await made.start(2)
    await again.group.ready
    expect(again.machine.texts).toHaveLength(40)
  })
})

describe('addresses', () => {
  test.each([['::1'], ['localhost']])('may be those of %s', async (host) => {
    const made = await make(2, {}, host)
    const members = await made.startAll()
    expect(await submit(members[0]!, 'x')).toBe(1)
    expect(await submit(members[1]!, 'y')).toBe(2)
  })
})

describe('an observer over TCP', () => {
  test('has everything, submits, and does not hold up the others when it is gone', async () => {
    const made = await make(3)
    const members = await made.startAll()
    await submit(members[0]!, 'one')
    const observer = await made.open(undefined, made.addresses, {})
    await observer.group.ready
    expect(observer.machine.texts).toEqual(['one'])
    expect(await submit(observer, 'two')).toBe(2)
    await made.stop(observer)
    expect(await submit(members[1]!, 'three')).toBe(3)
    await eventually(() => expect(leaderOf(members).group.node.group.configuration.learners).toEqual([]))
  })
})
