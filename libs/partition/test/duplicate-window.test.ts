import { expect, test } from '@jest/globals'
import { DUPLICATE_WINDOW_CALLS } from '@sluice/partition'
import { DuplicateWindow, type KnownRun } from '../src/duplicate-window.js'

const id = (n: number): string => n.toString(16).padStart(32, '0')
const stored = (baseOffset: number): KnownRun => ({ kind: 'stored', baseOffset, at: 1 })

test('the newest ids are known, up to the bound, and one that came again counts from then', () => {
  const window = new DuplicateWindow()
  for (let n = 0; n < DUPLICATE_WINDOW_CALLS; n++) window.add(id(n), stored(n))
  expect(window.get(id(0))).toEqual(stored(0))
  window.add(id(1), stored(7))
  window.add(id(-1 + DUPLICATE_WINDOW_CALLS + 1), stored(8))
  expect(window.get(id(0))).toBeUndefined()
  expect(window.get(id(1))).toEqual(stored(7))
  for (let n = 1; n < 20_000; n++) window.add(id(DUPLICATE_WINDOW_CALLS + n), stored(n))
  expect(window.get(id(1))).toEqual(stored(7))
  expect(window.get(id(10_000))).toBeUndefined()
  expect(window.get(id(30_000))).toEqual(stored(30_000))
})

test('what is ten minutes old is forgotten, what came since is not', () => {
  const window = new DuplicateWindow()
  window.add(id(1), { kind: 'void' })
  for (let minute = 1; minute < 10; minute++) window.grow()
  window.add(id(2), stored(2))
  expect(window.get(id(1))).toEqual({ kind: 'void' })
  window.grow()
  expect(window.get(id(1))).toBeUndefined()
  expect(window.get(id(2))).toEqual(stored(2))
  for (let minute = 1; minute <= 10; minute++) window.grow()
  expect(window.get(id(2))).toBeUndefined()
})
