import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ReplicatedCounter } from '../src/objects/batteries/counter.js'
import { ReplicatedDict } from '../src/objects/batteries/dict.js'
import { ReplicatedList } from '../src/objects/batteries/list.js'
import { LockManager } from '../src/objects/batteries/lock-manager.js'
import { ReplicatedLockTable } from '../src/objects/batteries/lock-table.js'
import { ReplicatedPriorityQueue } from '../src/objects/batteries/priority-queue.js'
import { ReplicatedQueue } from '../src/objects/batteries/queue.js'
import { ReplicatedSet } from '../src/objects/batteries/set.js'
import type { Replicated } from '../src/objects/handle.js'
import { ReplicatedMachine } from '../src/objects/replicated-machine.js'
import { applyAt, contentOf, follower, LocalGroup, pieces } from './objects-harness.js'

function replicatedOf<T extends object>(make: () => T): { object: Replicated<T>; group: LocalGroup } {
  const machine = new ReplicatedMachine()
  const object = machine.add('it', make())
  return { object, group: new LocalGroup(machine).open() }
}

type Step<T> = (object: Replicated<T>) => Promise<unknown>
type Outcome = { readonly value: unknown } | { readonly thrown: true }

async function outcomeOf(run: () => unknown): Promise<Outcome> {
  try {
    return { value: await run() }
  } catch {
    return { thrown: true }
  }
}

/**
 * Random calls give what a plain model gives; a replica fed the same log, and one made from a snapshot in
 * the middle and the rest of the log, end with the same state.
 */
async function behavesLike<T extends object, M>(
  make: () => T,
  model: () => M,
  steps: fc.Arbitrary<{ readonly call: Step<T>; readonly expected: (model: M) => unknown }>,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 30 }), fc.nat(30), async (list, cutAt) => {
      const { object, group } = replicatedOf(make)
      const plain = model()
      let middle: { content: Buffer; index: number } | undefined
      for (const [i, { call, expected }] of list.entries()) {
        const wanted = await outcomeOf(() => expected(plain))
        expect(await outcomeOf(() => call(object))).toEqual(wanted)
        if (i === cutAt) middle = { content: await contentOf(group.machine), index: group.log.length }
      }
      const end = await contentOf(group.machine)
      const { index = 0, content } = middle ?? {}
      const restored = new ReplicatedMachine()
      restored.add('it', make())
      follower(restored)
      if (content !== undefined) await restored.restore(pieces(content))
      for (let i = index + 1; i <= group.log.length; i++) applyAt(restored, group.log, i)
      expect(await contentOf(restored)).toEqual(end)
    }),
    { numRuns: 60 },
  )
}

const small = fc.integer({ min: -5, max: 5 })
const key = fc.constantFrom('a', 'b', 'c', 'd')

describe('the counter', () => {
  test('counts like a number', async () => {
    await behavesLike(
      () => new ReplicatedCounter(),
      () => ({ n: 0 }),
      fc.oneof(
        small.map((n) => ({
          call: (c: Replicated<ReplicatedCounter>) => c.add(n),
          expected: (m: { n: number }) => (m.n += n),
        })),
        small.map((n) => ({
          call: (c: Replicated<ReplicatedCounter>) => c.subtract(n),
          expected: (m: { n: number }) => (m.n -= n),
        })),
        small.map((n) => ({
          call: (c: Replicated<ReplicatedCounter>) => c.set(n),
          expected: (m: { n: number }) => (m.n = n),
        })),
        fc.constant({
          call: (c: Replicated<ReplicatedCounter>) => c.increment(),
          expected: (m: { n: number }) => ++m.n,
        }),
        fc.constant({
          call: (c: Replicated<ReplicatedCounter>) => c.get(),
          expected: (m: { n: number }) => m.n,
        }),
      ) as never,
    )
  })

  test('takes finite numbers only', async () => {
    const { object } = replicatedOf(() => new ReplicatedCounter())
    await expect(object.add(Number.NaN)).rejects.toMatchObject({ thrownName: 'ArgumentError' })
    expect(object.local.get()).toBe(0)
  })
})

describe('the list', () => {
  type L = Replicated<ReplicatedList<number>>
  const at = (m: number[], i: number): number => {
    const index = i < 0 ? m.length + i : i
    if (index < 0 || index >= m.length) throw new Error('none')
    return index
  }
  test('is like an array', async () => {
    await behavesLike(
      () => new ReplicatedList<number>(),
      (): number[] => [],
      fc.oneof(
        small.map((n) => ({ call: (l: L) => l.append(n), expected: (m: number[]) => void m.push(n) })),
        fc
          .array(small, { maxLength: 4 })
          .map((ns) => ({ call: (l: L) => l.extend(ns), expected: (m: number[]) => void m.push(...ns) })),
        fc.tuple(small, small).map(([i, n]) => ({
          call: (l: L) => l.insert(i, n),
          expected: (m: number[]) => void m.splice(i, 0, n),
        })),
        fc.tuple(small, small).map(([i, n]) => ({
          call: (l: L) => l.set(i, n),
          expected: (m: number[]) => void (m[at(m, i)] = n),
        })),
        small.map((i) => ({ call: (l: L) => l.pop(i), expected: (m: number[]) => m.splice(at(m, i), 1)[0] })),
        small.map((n) => ({
          call: (l: L) => l.remove(n),
          expected: (m: number[]) => {
            if (!m.includes(n)) throw new Error('none')
            m.splice(m.indexOf(n), 1)
          },
        })),
        fc.boolean().map((down) => ({
          call: (l: L) => l.sort(down),
          expected: (m: number[]) => void m.sort((a, b) => (down ? b - a : a - b)),
        })),
        small.map((n) => ({
          call: (l: L) => l.count(n),
          expected: (m: number[]) => m.filter((x) => x === n).length,
        })),
        small.map((i) => ({ call: (l: L) => l.get(i), expected: (m: number[]) => m[at(m, i)] })),
        fc.constant({ call: (l: L) => l.toArray(), expected: (m: number[]) => [...m] }),
        fc.constant({
          call: (l: L) => l.reset([1, 2]),
          expected: (m: number[]) => void m.splice(0, m.length, 1, 2),
        }),
      ) as never,
    )
  })

  test('holds no more than it may', async () => {
    const { object } = replicatedOf(() => new ReplicatedList<number>(2))
    await object.extend([1, 2])
    for (const call of [object.append(3), object.extend([3]), object.insert(0, 3), object.reset([1, 2, 3])])
      await expect(call).rejects.toMatchObject({ thrownName: 'ContainerFullError' })
    expect(object.local.toArray()).toEqual([1, 2])
  })
})

describe('the dictionary', () => {
  type D = Replicated<ReplicatedDict<string, number>>
  type M = Map<string, number>
  test('is like a map', async () => {
    await behavesLike(
      () => new ReplicatedDict<string, number>(),
      (): M => new Map(),
      fc.oneof(
        fc
          .tuple(key, small)
          .map(([k, n]) => ({ call: (d: D) => d.set(k, n), expected: (m: M) => void m.set(k, n) })),
        fc.tuple(key, small).map(([k, n]) => ({
          call: (d: D) => d.setDefault(k, n),
          expected: (m: M) => {
            if (!m.has(k)) m.set(k, n)
            return m.get(k)
          },
        })),
        key.map((k) => ({
          call: (d: D) => d.pop(k),
          expected: (m: M) => {
            if (!m.has(k)) throw new Error('none')
            const value = m.get(k)
            m.delete(k)
            return value
          },
        })),
        key.map((k) => ({
          call: (d: D) => d.pop(k, 77),
          expected: (m: M) => {
            const value = m.get(k) ?? 77
            m.delete(k)
            return value
          },
        })),
        fc.tuple(key, fc.option(small, { nil: undefined }), small).map(([k, old, n]) => ({
          call: (d: D) => d.compareAndSet(k, old, n),
          expected: (m: M) => {
            if (m.get(k) !== old) return false
            m.set(k, n)
            return true
          },
        })),
        fc.array(fc.tuple(key, small), { maxLength: 4 }).map((all) => ({
          call: (d: D) => d.update(all),
          expected: (m: M) => all.forEach(([k, n]) => void m.set(k, n)),
        })),
        key.map((k) => ({ call: (d: D) => d.get(k), expected: (m: M) => m.get(k) })),
        key.map((k) => ({ call: (d: D) => d.has(k), expected: (m: M) => m.has(k) })),
        fc.constant({ call: (d: D) => d.entries(), expected: (m: M) => [...m] }),
        fc.constant({ call: (d: D) => d.clear(), expected: (m: M) => m.clear() }),
      ) as never,
    )
  })

  test('takes plain keys only, and 0 and -0 are one', async () => {
    const { object } = replicatedOf(() => new ReplicatedDict<number, string>())
    await object.set(-0, 'zero')
    expect(object.local.keys()).toEqual([0])
    await expect(object.set(Number.NaN, 'x')).rejects.toMatchObject({ thrownName: 'ArgumentError' })
    await expect(object.set({} as never, 'x')).rejects.toMatchObject({ thrownName: 'ArgumentError' })
    expect(object.local.size()).toBe(1)
  })
})

describe('the set', () => {
  type S = Replicated<ReplicatedSet<string>>
  type M = Set<string>
  test('is like a set', async () => {
    await behavesLike(
      () => new ReplicatedSet<string>(),
      (): M => new Set(),
      fc.oneof(
        key.map((k) => ({ call: (s: S) => s.add(k), expected: (m: M) => !m.has(k) && Boolean(m.add(k)) })),
        key.map((k) => ({ call: (s: S) => s.discard(k), expected: (m: M) => m.delete(k) })),
        key.map((k) => ({
          call: (s: S) => s.remove(k),
          expected: (m: M) => {
            if (!m.delete(k)) throw new Error('none')
          },
        })),
        fc.constant({
          call: (s: S) => s.pop(),
          expected: (m: M) => {
            const [first] = m
            if (first === undefined) throw new Error('none')
            m.delete(first)
            return first
          },
        }),
        fc.array(key, { maxLength: 3 }).map((ks) => ({
          call: (s: S) => s.update(ks),
          expected: (m: M) => ks.forEach((k) => void m.add(k)),
        })),
        key.map((k) => ({ call: (s: S) => s.has(k), expected: (m: M) => m.has(k) })),
        fc.constant({ call: (s: S) => s.toArray(), expected: (m: M) => [...m] }),
        fc.constant({
          call: (s: S) => s.reset(['d']),
          expected: (m: M) => {
            m.clear()
            m.add('d')
          },
        }),
      ) as never,
    )
  })
})

describe('the queues', () => {
  test('first in is first out, up to the bound', async () => {
    type Q = Replicated<ReplicatedQueue<number>>
    await behavesLike(
      () => new ReplicatedQueue<number>(5),
      (): number[] => [],
      fc.oneof(
        small.map((n) => ({
          call: (q: Q) => q.put(n),
          expected: (m: number[]) => m.length < 5 && Boolean(m.push(n)),
        })),
        fc.constant({ call: (q: Q) => q.get(), expected: (m: number[]) => m.shift() }),
        fc.constant({ call: (q: Q) => q.get(99), expected: (m: number[]) => m.shift() ?? 99 }),
        fc.constant({ call: (q: Q) => q.size(), expected: (m: number[]) => m.length }),
        fc.constant({ call: (q: Q) => q.full(), expected: (m: number[]) => m.length === 5 }),
      ) as never,
    )
  })

  test('the smallest comes out first, up to the bound', async () => {
    type Q = Replicated<ReplicatedPriorityQueue<number>>
    const smallest = (m: number[]): number | undefined => {
      m.sort((a, b) => a - b)
      return m.shift()
    }
    await behavesLike(
      () => new ReplicatedPriorityQueue<number>(8),
      (): number[] => [],
      fc.oneof(
        {
          arbitrary: small.map((n) => ({
            call: (q: Q) => q.put(n),
            expected: (m: number[]) => m.length < 8 && Boolean(m.push(n)),
          })),
          weight: 3,
        },
        fc.constant({ call: (q: Q) => q.get(), expected: smallest }),
        fc.constant({ call: (q: Q) => q.empty(), expected: (m: number[]) => m.length === 0 }),
      ) as never,
    )
  })

  test('a long queue gives its memory back, in order', async () => {
    const { object } = replicatedOf(() => new ReplicatedQueue<number>())
    for (let i = 0; i < 5000; i++) await object.put(i)
    for (let i = 0; i < 4999; i++) expect(await object.get()).toBe(i)
    expect(object.local.size()).toBe(1)
  })
})

describe('locks', () => {
  function locks(): { table: Replicated<ReplicatedLockTable>; group: LocalGroup } {
    const { object, group } = replicatedOf(() => new ReplicatedLockTable(1000))
    return { table: object, group }
  }

  test('one holder at a time, and a token that grows with every acquisition', async () => {
    const { table, group } = locks()
    expect(await table.acquire('door', 'ann')).toEqual({ acquired: true, fencingToken: 1 })
    expect(await table.acquire('door', 'bob')).toEqual({ acquired: false, fencingToken: 1 })
    expect(await table.acquire('door', 'ann')).toEqual({ acquired: true, fencingToken: 1 })
    expect(await table.release('door', 'bob')).toBe(false)
    expect(await table.release('door', 'ann')).toBe(true)
    expect(await table.acquire('door', 'bob')).toEqual({ acquired: true, fencingToken: 2 })
    expect(group.log).toHaveLength(6)
  })

  test('fall open by the leader’s time when nobody renews them', async () => {
    const { table, group } = locks()
    await table.acquire('door', 'ann')
    group.timeMs += 999
    expect(await table.renew('ann')).toEqual(['door'])
    group.timeMs += 999
    expect((await table.acquire('door', 'bob')).acquired).toBe(false)
    group.timeMs += 1
    expect(await table.acquire('door', 'bob')).toEqual({ acquired: true, fencingToken: 2 })
    expect(await table.renew('ann')).toEqual([])
  })

  test('survive a snapshot', async () => {
    const { table, group } = locks()
    await table.acquire('door', 'ann')
    const other = new ReplicatedMachine()
    const copy = other.add('it', new ReplicatedLockTable(1000))
    follower(other)
    await other.restore(pieces(await contentOf(group.machine)))
    expect(copy.local.isHeld('door', 'ann', group.timeMs)).toBe(true)
    expect(copy.local.isHeld('door', 'ann', group.timeMs + 1000)).toBe(false)
  })

  test('a manager renews what it holds, and says what it lost', async () => {
    const { table, group } = locks()
    let nowMs = 0
    let renew = (): void => undefined
    const lost: string[] = []
    const manager = new LockManager(table, {
      owner: 'ann',
      clock: { now: () => nowMs, monotonic: () => nowMs },
      every: (_intervalMs, run) => {
        renew = run
        return () => undefined
      },
      onLost: (names) => lost.push(...names),
    })
    expect((await manager.tryAcquire('door')).acquired).toBe(true)
    nowMs += 900
    group.timeMs += 900
    renew()
    await table.renew('nobody')
    nowMs += 900
    expect(manager.isAcquired('door')).toBe(true)
    group.timeMs += 5000
    await table.acquire('door', 'bob')
    renew()
    await table.renew('nobody')
    expect([lost, manager.isAcquired('door')]).toEqual([['door'], false])
    manager.destroy()
  })

  test('an answer that took too long is given back', async () => {
    const { table } = locks()
    let nowMs = 0
    const clock = { now: () => nowMs, monotonic: () => (nowMs += 300) }
    const manager = new LockManager(table, { owner: 'ann', clock, every: () => () => undefined })
    expect((await manager.tryAcquire('quick')).acquired).toBe(true)
    clock.monotonic = () => (nowMs += 501)
    expect((await manager.tryAcquire('slow')).acquired).toBe(false)
    expect((await table.acquire('slow', 'bob')).acquired).toBe(true)
  })
})
