import { describe, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import { backOffMs } from '../src/back-off.js'
import { LeaderRoute } from '../src/leader-route.js'

const members = [1, 2, 3].map((id) => ({ id, host: '127.0.0.1', port: 7000 + id }))

describe('LeaderRoute', () => {
  test('the first member, the preferred leader, is asked first', () => {
    expect(new LeaderRoute().pick(members)).toBe(members[0])
  })

  test('whoever answered as the leader is asked again', () => {
    const route = new LeaderRoute()
    route.succeeded(members[2]!)
    expect(route.pick(members)).toBe(members[2])
  })

  test('a hint is worth asking at once', () => {
    const route = new LeaderRoute()
    expect(route.failed(members[0]!, members[2])).toBe(true)
    expect(route.pick(members)).toBe(members[2])
  })

  test('without a hint, and when the hinted one fails, the members are asked in turn', () => {
    const route = new LeaderRoute()
    expect(route.failed(members[0]!, undefined)).toBe(false)
    expect(route.pick(members)).toBe(members[1])
    expect(route.failed(members[1]!, members[1])).toBe(false)
    expect(route.pick(members)).toBe(members[2])
    route.failed(members[2]!, undefined)
    expect(route.pick(members)).toBe(members[0])
  })

  test('a leader that is no member any more is forgotten', () => {
    const route = new LeaderRoute()
    route.succeeded(members[2]!)
    expect(route.pick(members.slice(0, 2))).toBe(members[0])
    expect(route.pick([])).toBeUndefined()
  })
})

test('the back-off grows from 20 to 200 ms and is never less than half of that', () => {
  const random = new SeededRandom(1)
  const waits = [1, 2, 3, 4, 5, 6, 50].map((attempt) => backOffMs(attempt, random))
  for (const [i, whole] of [20, 40, 80, 160, 200, 200, 200].entries()) {
    expect(waits[i]).toBeGreaterThanOrEqual(whole / 2)
    expect(waits[i]).toBeLessThanOrEqual(whole)
  }
})
