import { describe, expect, test } from '@jest/globals'
import { judge } from '../src/demo/verdict.js'
import { SimulatedLog } from './simulated-log.js'

const HUNDRED = Array.from({ length: 10 }, (_, i) => i * 100 + 1)

/** A client, up to a minority of crash threads, and the end: as the contract has it, in virtual time. */
function live(seed: number): SimulatedLog {
  const nodeCount = [1, 3, 5, 5, 8][seed % 5]!
  const log = new SimulatedLog(seed, nodeCount)
  const { random } = log
  const threads = Math.floor((nodeCount - 1) / 2)
  let isOver = false
  const crashAgain = (): void => {
    if (isOver) return
    const node = 1 + random.below(nodeCount)
    log.crash(node, () =>
      log.after(300 + random.below(700), () => {
        if (isOver) return
        log.recover(node)
        log.after(200 + random.below(500), crashAgain)
      }),
    )
  }
  log.runUntil(1500)
  for (let i = 0; i < threads; i++) crashAgain()
  for (let i = 0; i < 30; i++) {
    log.put(`entry${i}`, 1 + random.below(nodeCount))
    log.runUntil(log.nowMs + random.below(200))
  }
  log.runUntil(log.nowMs + 8000)
  isOver = true
  log.runUntil(log.nowMs + 3000)
  return log
}

function verdictOf(log: SimulatedLog): ReturnType<typeof judge> {
  const logged = log.puts.filter(({ outcome }) => outcome === 'stored')
  return judge(
    logged.map(({ text, answeredAtMs }) => ({ text, sentAtMs: 0, answeredAtMs })),
    log.nodes.map((_, i) => ({
      name: `node ${i + 1}`,
      lines: log.log(i + 1),
      crashedAtMs: log.crashedAtMs[i],
    })),
  )
}

describe('a client, crashes and an exit on a simulated network', () => {
  test.each(HUNDRED)('seeds %i to +99: what was answered is everywhere, what was not is nowhere', (first) => {
    let stored = 0
    for (let seed = first; seed < first + 100; seed++) {
      const log = live(seed)
      const { faults } = verdictOf(log)
      expect({ seed, faults, failures: log.failures }).toEqual({ seed, faults: [], failures: [] })
      for (const put of log.puts) expect({ seed, ...put }).toMatchObject({ outcome: expect.any(String) })
      stored += log.puts.filter(({ outcome }) => outcome === 'stored').length
    }
    expect(stored).toBeGreaterThan(1500)
  })
})

describe('one node of three', () => {
  function three(): SimulatedLog {
    const log = new SimulatedLog(1, 3)
    log.runUntil(2000)
    return log
  }

  test('refuses entries while it is crashed, and from the moment that it is told to', () => {
    const log = three()
    log.crash(1, () => undefined)
    log.put('a', 1)
    log.runUntil(2100)
    log.put('b', 1)
    log.runUntil(2200)
    expect(log.puts.map(({ outcome }) => outcome)).toEqual(['refused', 'refused'])
    expect(log.nodes[0]!.isCrashed).toBe(true)
  })

  test('decides what came before, and only then crashes', () => {
    const log = three()
    log.put('a', 1)
    log.crash(1, () => undefined)
    expect(log.nodes[0]!.isCrashed).toBe(false)
    log.runUntil(2500)
    expect(log.puts[0]!.outcome).toBe('stored')
    expect(log.nodes[0]!.isCrashed).toBe(true)
    expect(log.log(1)).toEqual(['a'])
  })

  test('knows, when it crashes, everything that any client was told before', () => {
    const log = three()
    log.put('a', 2)
    while (log.puts[0]!.outcome === undefined) log.runUntil(log.nowMs + 0.1)
    log.crash(1, () => undefined)
    log.runUntil(3000)
    expect(log.nodes[0]!.isCrashed).toBe(true)
    expect(log.log(1)).toEqual(['a'])
  })

  test('has caught up half a second after its recovery', () => {
    const log = three()
    log.crash(1, () => undefined)
    log.runUntil(2500)
    for (const text of ['a', 'b', 'c']) log.put(text, 2)
    log.runUntil(4000)
    log.recover(1)
    log.runUntil(4500)
    expect(log.log(1)).toEqual(log.log(2))
    expect(log.log(1)).toHaveLength(3)
  })

  test('an entry that nobody can decide is held, and is decided when a majority is there again', () => {
    const log = three()
    for (const node of [2, 3]) log.crash(node, () => undefined)
    log.runUntil(3000)
    log.put('a', 1)
    log.runUntil(12_000)
    expect(log.puts[0]!.outcome).toBeUndefined()
    for (const node of [2, 3]) log.recover(node)
    log.runUntil(16_000)
    const { outcome } = log.puts[0]!
    expect(outcome).toMatch(/stored|withdrawn/)
    const expected = outcome === 'stored' ? ['a'] : []
    for (const node of [1, 2, 3]) expect(log.log(node)).toEqual(expected)
  })

  test('two recoveries and two crashes of one node come one after the other', () => {
    const log = three()
    let done = 0
    const count = (): number => done++
    log.crash(1, count)
    log.crash(1, count)
    log.runUntil(2500)
    expect([done, log.nodes[0]!.isCrashed]).toEqual([2, true])
    log.recover(1)
    expect(log.nodes[0]!.isCrashed).toBe(false)
  })
})
