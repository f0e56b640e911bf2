import { describe, expect, test } from '@jest/globals'
import { judge, type LoggedEntry } from '../src/demo/verdict.js'

const logged: readonly LoggedEntry[] = ['a', 'b', 'c'].map((text, i) => ({
  text,
  sentAtMs: i * 100,
  answeredAtMs: i * 100 + 10,
}))

function server(lines: readonly string[], crashedAtMs?: number): Parameters<typeof judge>[1][number] {
  return { name: `server of ${lines.join('')}`, lines, crashedAtMs }
}

describe('the verdict', () => {
  test('all logs alike and as the client was told: nothing to say', () => {
    const servers = [server(['b', 'a', 'c']), server(['b', 'a', 'c'])]
    expect(judge(logged, servers)).toEqual({ faults: [], unavoidableMisses: [] })
  })

  test('what came after the last crash of a server that never came back could not reach it', () => {
    const verdict = judge(logged, [server(['a', 'b', 'c']), server(['a', 'b'], 150)])
    expect(verdict).toEqual({ faults: [], unavoidableMisses: ['server of ab lacks c'] })
  })

  test.each<[string, Parameters<typeof judge>[1], RegExp]>([
    ['a lost entry', [server(['a', 'b', 'c']), server(['a', 'b'])], /lacks c/],
    ['an entry lost before the crash', [server(['a', 'b', 'c']), server(['a'], 150)], /lacks b/],
    ['an invented entry', [server(['a', 'b', 'c', 'x'])], /holds x, which the client was not told/],
    ['a doubled entry', [server(['a', 'b', 'c', 'c'])], /holds 1 entries twice/],
    [
      'another order',
      [server(['a', 'b', 'c']), server(['a', 'c', 'b'])],
      /differs from the longest log at entry 1/,
    ],
  ])('%s is a fault', (_what, servers, message) => {
    expect(judge(logged, servers).faults.join('\n')).toMatch(message)
  })
})
