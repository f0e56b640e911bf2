import { describe, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import type { Call } from '../src/testing/call.js'
import { checkRegister } from '../src/testing/linearizability.js'
import { call } from './invariant-fixture.js'

const at = (invokedAt: number, answeredAt: number): Pick<Call, 'invokedAt' | 'answeredAt'> => ({
  invokedAt,
  answeredAt,
})

describe('whether the calls to a register can be put in an order', () => {
  test('calls one after the other can, in that order only', () => {
    const write = call({ serial: 1, ...at(1, 2) })
    const read = (previous: number): Call => call({ kind: 'read', previous, ...at(3, 4) })
    expect(checkRegister([write, read(1)])).toBe('linearizable')
    expect(checkRegister([write, read(0)])).toBe('violated')
    expect(checkRegister([write, read(2)])).toBe('violated')
  })

  test('calls at the same time can, in any order', () => {
    const writes = [
      call({ serial: 1, previous: 2, ...at(1, 10) }),
      call({ serial: 2, previous: 0, ...at(1, 10) }),
    ]
    expect(checkRegister(writes)).toBe('linearizable')
    expect(checkRegister([...writes, call({ kind: 'read', previous: 1, ...at(11, 12) })])).toBe(
      'linearizable',
    )
    expect(checkRegister([...writes, call({ kind: 'read', previous: 2, ...at(11, 12) })])).toBe('violated')
  })

  test('two reads cannot see two writes the other way round', () => {
    const writes = [call({ serial: 1, ...at(1, 2) }), call({ serial: 2, previous: 1, ...at(3, 20) })]
    const reads = (first: number, second: number): Call[] => [
      call({ kind: 'read', previous: first, ...at(5, 6) }),
      call({ kind: 'read', previous: second, ...at(7, 8) }),
    ]
    expect(checkRegister([...writes, ...reads(1, 2)])).toBe('linearizable')
    expect(checkRegister([...writes, ...reads(2, 1)])).toBe('violated')
  })

  test('a swap takes place only over what it expects', () => {
    const write = call({ serial: 1, ...at(1, 2) })
    const swap = (expected: number): Call =>
      call({ serial: 2, kind: 'swap', expected, previous: 1, ...at(3, 4) })
    const read = (previous: number): Call => call({ kind: 'read', previous, ...at(5, 6) })
    expect(checkRegister([write, swap(1), read(2)])).toBe('linearizable')
    expect(checkRegister([write, swap(9), read(1)])).toBe('linearizable')
    expect(checkRegister([write, swap(1), read(1)])).toBe('violated')
    expect(checkRegister([write, swap(9), read(2)])).toBe('violated')
  })

  test('a call of unknown outcome may be done at any time after it began, or never', () => {
    const unknown = call({ serial: 1, outcome: 'unknown', ...at(5, 6) })
    const read = (previous: number, begins: number): Call =>
      call({ kind: 'read', previous, ...at(begins, begins + 1) })
    expect(checkRegister([unknown, read(0, 7), read(0, 90)])).toBe('linearizable')
    expect(checkRegister([unknown, read(0, 7), read(1, 90)])).toBe('linearizable')
    expect(checkRegister([unknown, read(1, 7), read(0, 90)])).toBe('violated')
    expect(checkRegister([unknown, read(1, 2)])).toBe('violated')
  })

  test('a swap of unknown outcome that was seen has seen what it expected', () => {
    const write = call({ serial: 1, outcome: 'unknown', ...at(1, 2) })
    const swap = call({ serial: 2, kind: 'swap', expected: 1, outcome: 'unknown', ...at(3, 4) })
    const read = call({ kind: 'read', previous: 2, ...at(5, 6) })
    expect(checkRegister([write, swap, read])).toBe('linearizable')
    expect(checkRegister([swap, read])).toBe('violated')
  })

  test('what was refused was not done', () => {
    const refused = call({ serial: 1, outcome: 'refused', ...at(1, 2) })
    expect(checkRegister([refused, call({ kind: 'read', previous: 0, ...at(3, 4) })])).toBe('linearizable')
    expect(checkRegister([refused, call({ kind: 'read', previous: 1, ...at(3, 4) })])).toBe('violated')
  })

  test('a search that takes too long is undecided', () => {
    const many = Array.from({ length: 40 }, (_, i) => call({ serial: i + 1, ...at(1, 100), previous: 999 }))
    expect(checkRegister(many, 10)).toBe('undecided')
  })

  test.each(Array.from({ length: 30 }, (_, i) => i + 1))(
    'a history made from a real order is found to have one, and a damaged one mostly not, seed %i',
    (seed) => {
      const random = new SeededRandom(seed)
      const calls: Call[] = []
      let value = 0
      for (let i = 0; i < 60; i++) {
        const done = i * 10
        const times = at(done - random.below(40), done + random.below(40))
        const kind = (['write', 'read', 'swap'] as const)[random.below(3)]!
        const expected = random.below(2) === 0 ? value : 1
        const each = call({ serial: i + 1, kind, expected, previous: value, ...times })
        calls.push(each)
        if (kind === 'write' || (kind === 'swap' && value === expected)) value = each.serial
      }
      expect(checkRegister(calls)).toBe('linearizable')
      const last = calls.at(-1)!
      const stale = call({
        kind: 'read',
        previous: calls[0]!.serial,
        ...at(last.answeredAt + 1000, last.answeredAt + 1001),
      })
      expect(checkRegister([...calls, stale])).toBe('violated')
    },
  )
})
