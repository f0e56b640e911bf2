import { describe, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import { ALL_FAULT_KINDS, factsOf, type FaultKind, parseFaultKinds } from '../src/chaos/fault.js'
import { type Episode, mayJoin, planEpisodes, scopeSize } from '../src/chaos/schedule.js'

const SEEDS = Array.from({ length: 50 }, (_, i) => i + 1)

function plan(seed: number, kinds: readonly FaultKind[] = ALL_FAULT_KINDS): readonly Episode[] {
  return planEpisodes({
    random: new SeededRandom(seed),
    brokerCount: 5,
    copies: 2,
    kinds,
    durationMs: 600_000,
  })
}

test('the same seed plans the same run, another seed another one', () => {
  expect(plan(7)).toEqual(plan(7))
  expect(plan(7)).not.toEqual(plan(8))
})

test.each(SEEDS)('seed %i: every kind comes, some alone and some together, with quiet between', (seed) => {
  const episodes = plan(seed)
  const kinds = new Set(episodes.flatMap(({ faults }) => faults.map(({ kind }) => kind)))
  expect([...kinds].sort()).toEqual([...ALL_FAULT_KINDS].sort())
  expect(new Set(episodes.map(({ faults }) => faults.length))).toEqual(new Set([1, 2]))
  for (const { holdMs, quietMs } of episodes) {
    expect(holdMs).toBeGreaterThan(0)
    expect(quietMs).toBeGreaterThanOrEqual(3000)
  }
  expect(episodes.reduce((sum, { holdMs, quietMs }) => sum + holdMs + quietMs, 0)).toBeGreaterThanOrEqual(
    600_000,
  )
})

test.each(SEEDS)('seed %i: damage to a log or a full disk never meets another fault of brokers', (seed) => {
  for (const { faults } of plan(seed)) {
    const families = faults.map(({ kind }) => factsOf(kind).family)
    if (!families.some((family) => family === 'log' || family === 'disk')) continue
    expect(families.filter((family) => family !== 'manager')).toHaveLength(1)
  }
})

test('a log is damaged on one broker only, which is away long enough for the others to elect', () => {
  for (const { faults, holdMs } of plan(3, parseFaultKinds('log'))) {
    expect(faults[0]!.targets).toHaveLength(1)
    expect(holdMs).toBeGreaterThanOrEqual(6000)
  }
})

test('targets are brokers of the cluster, each once', () => {
  for (const { faults } of plan(11))
    for (const { kind, targets } of faults) {
      const { scope } = factsOf(kind)
      expect(new Set(targets).size).toBe(targets.length)
      for (const id of targets) expect([1, 2, 3, 4, 5]).toContain(id)
      if (scope !== undefined) expect(targets).toHaveLength(scopeSize(scope, 5))
    }
})

test.each([
  [3, 1, 2],
  [5, 2, 3],
])('of %i brokers %i are a minority and %i a majority', (count, minority, majority) => {
  expect(scopeSize('minority', count)).toBe(minority)
  expect(scopeSize('majority', count)).toBe(majority)
  expect(scopeSize('all', count)).toBe(count)
})

test('faults that would hide or hinder each other do not join', () => {
  expect(mayJoin('kill-one', 'pause-one')).toBe(false)
  expect(mayJoin('kill-one', 'postgres-kill')).toBe(true)
  expect(mayJoin('log-flipped', 'kill-load-balancer')).toBe(true)
  expect(mayJoin('cut-both', 'log-flipped')).toBe(false)
  expect(mayJoin('broker-comes-and-goes', 'postgres-stop')).toBe(false)
  expect(mayJoin('broker-comes-and-goes', 'kill-one')).toBe(true)
})

describe('fault names', () => {
  test('a kind, a beginning and a family', () => {
    expect(parseFaultKinds('kill-one')).toEqual(['kill-one'])
    expect(parseFaultKinds('pause')).toContain('pause-write-manager')
    expect(parseFaultKinds('disk,log')).toEqual(['disk-full', 'log-truncated', 'log-flipped'])
  })

  test('an unknown one is refused by name', () => {
    expect(() => parseFaultKinds('kill-one,earthquake')).toThrow(/earthquake/)
  })
})
