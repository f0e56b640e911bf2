import { expect, test } from '@jest/globals'
import { ManualClock } from '@sluice/foundation/testing'
import { CopyRate } from '../src/copy-rate.js'

const { signal } = new AbortController()

function rateOf(bytesPerSecond: number): {
  readonly rate: CopyRate
  readonly clock: ManualClock
  readonly pauses: number[]
} {
  const clock = new ManualClock()
  const pauses: number[] = []
  const rate = new CopyRate(bytesPerSecond, clock, (ms) => Promise.resolve(void pauses.push(ms)))
  return { rate, clock, pauses }
}

test('pieces that are copied at the same time wait for each other', async () => {
  const { rate, pauses } = rateOf(1000)
  await Promise.all([500, 250, 1000].map((bytes) => rate.copied(bytes, signal)))
  expect(pauses).toEqual([500, 750, 1750])
})

test('time in which nothing was copied is not made up for', async () => {
  const { rate, clock, pauses } = rateOf(1000)
  await rate.copied(1000, signal)
  clock.advance(60_000)
  await rate.copied(1000, signal)
  expect(pauses).toEqual([1000, 1000])
})

test('who is stopped does not wait', async () => {
  const stop = new AbortController()
  const copied = new CopyRate(1, new ManualClock()).copied(1_000_000, stop.signal)
  stop.abort(new Error('stopped'))
  await expect(copied).rejects.toThrow('stopped')
})
