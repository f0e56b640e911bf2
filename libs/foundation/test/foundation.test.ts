import { describe, expect, test } from '@jest/globals'
import { readFileSync } from 'node:fs'
import {
  BUILD_VERSION,
  Closers,
  InvariantError,
  SeededRandom,
  delay,
  invariant,
  messageOf,
} from '@sluice/foundation'
import { ManualClock, eventually } from '@sluice/foundation/testing'

test('the version of this build is that of its package', () => {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  expect(JSON.parse(text)).toMatchObject({ version: BUILD_VERSION })
})

describe('Closers', () => {
  test('closes in reverse order, all of it, even when one part fails, and names what failed', async () => {
    const order: string[] = []
    const closers = new Closers()
    closers.add('first', () => order.push('first'))
    closers.add('second', () => {
      order.push('second')
      throw new Error('stuck')
    })
    closers.add('third', () => order.push('third'))
    await expect(closers.closeAll()).rejects.toThrow('closing second failed')
    expect(order).toEqual(['third', 'second', 'first'])
  })

  test('closing twice closes once', async () => {
    let count = 0
    const closers = new Closers()
    closers.add('only', () => count++)
    await Promise.all([closers.closeAll(), closers.closeAll()])
    expect(count).toBe(1)
  })
})

describe('SeededRandom', () => {
  test('the same seed gives the same numbers, another seed others', () => {
    const take = (seed: number): number[] => {
      const random = new SeededRandom(seed)
      return Array.from({ length: 5 }, () => random.next())
    }
    expect(take(7)).toEqual(take(7))
    expect(take(7)).not.toEqual(take(8))
  })

  test('below covers its range evenly and never leaves it', () => {
    const random = new SeededRandom(1)
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < 100_000; i++) counts[random.below(10)]!++
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(600)
  })
})

test('an invariant that does not hold says exactly what broke', () => {
  const holds = new Set<number>().has(1)
  expect(() => invariant(holds, 'one is above two')).toThrow(InvariantError)
  expect(() => invariant(holds, 'one is above two')).toThrow('one is above two')
})

test('a wait that is aborted rejects with the reason', async () => {
  const abort = new AbortController()
  const waiting = delay(60_000, abort.signal)
  abort.abort(new Error('stop'))
  await expect(waiting).rejects.toThrow('stop')
})

test('a manual clock moves only when it is told to', () => {
  const clock = new ManualClock(5)
  clock.advance(3)
  expect([clock.now(), clock.monotonic()]).toEqual([8, 8])
})

test('eventually gives up with the last failure', async () => {
  await expect(eventually(() => Promise.reject(new Error('no leader')), 20)).rejects.toThrow('no leader')
  expect(messageOf('text')).toBe('text')
})
