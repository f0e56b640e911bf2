import { expect, test } from '@jest/globals'
import { FetchFences } from '../src/fetch-fences.js'

const GROUP = 7
const tryOf = (holder: number, lookupOnly = false) => ({
  consumerId: 1,
  requestId: 'aa'.repeat(16),
  holder,
  lookupOnly,
})

test('after a lookup only the try that looked up is given anything, until a later one looks up', () => {
  const fences = new FetchFences()
  fences.pass(GROUP, tryOf(1))
  fences.pass(GROUP, tryOf(2, true))
  expect(() => fences.pass(GROUP, tryOf(1))).toThrow(/taken over/)
  fences.pass(GROUP, tryOf(2))
  fences.pass(GROUP, tryOf(3, true))
  expect(() => fences.pass(GROUP, tryOf(2))).toThrow(/taken over/)
})

test('a lookup of an earlier try that comes late takes nothing over', () => {
  const fences = new FetchFences()
  fences.pass(GROUP, tryOf(2, true))
  expect(() => fences.pass(GROUP, tryOf(1, true))).toThrow(/taken over/)
  fences.pass(GROUP, tryOf(2))
})
