import { describe, expect, test } from '@jest/globals'
import { longestGapMs, longestLaneGapMs, median } from '../src/chaos/produce-gap.js'
import { replayCommand, type RunResult, table, writeReport } from '../src/chaos/report.js'
import { drawTimeline } from '../src/chaos/timeline.js'
import { sent } from './chaos-messages.js'

const SPAN = { name: 'kill-one 2', fromMs: 1000, healedMs: 3000, wholeMs: 4000 }
const SETTINGS = { minutes: 2, seed: 9, brokers: 3, faults: 'kill', mutant: '' }

const RESULT: RunResult = {
  settings: SETTINGS,
  startedMs: 0,
  endedMs: 10_000,
  spans: [SPAN, { ...SPAN, name: 'kill-one 1', fromMs: 6000, healedMs: 7000, wholeMs: 8000 }],
  acknowledged: [900, 1200, 2700, 4100, 6100, 8200].map((atMs) => ({ lane: 'a', atMs, count: 2 })),
  history: {
    sent: [sent(0, { unknownAttempts: 2 }), sent(1, { acknowledged: undefined, refusedAttempts: 3 })],
    consumers: [],
    registrations: [],
    wrongAnswers: [],
    kept: new Map(),
  },
  violations: [],
  notes: ['broker 2 refuses its log'],
}

describe('gaps', () => {
  test('the longest of those that touch the span, the one that outlasts it included', () => {
    expect(longestGapMs(SPAN, [900, 1200, 2700, 4100])).toBe(1500)
    expect(longestGapMs(SPAN, [900, 1200, 1300, 9000])).toBe(7700)
  })

  test('no produce at all is a gap as long as the span', () => {
    expect(longestGapMs(SPAN, [])).toBe(3000)
  })

  test('the lane that waits longest is not hidden by the others', () => {
    const busy = Array.from({ length: 50 }, (_, i) => ({ lane: 'busy', atMs: 1000 + i * 80, count: 1 }))
    const waiting = [1100, 3900, 4200].map((atMs) => ({ lane: 'waiting', atMs, count: 1 }))
    expect(longestLaneGapMs(SPAN, [...busy, ...waiting])).toBe(2800)
  })

  test('the median', () => {
    expect(median([])).toBe(0)
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
  })
})

describe('the report', () => {
  test('says the command, the counts, each fault with its gap, and the notes', () => {
    const text = writeReport(RESULT, 'run.svg')
    expect(text).toContain('# Chaos run, seed 9: every promise was kept')
    expect(text).toContain('npm run test:chaos -- --minutes 2 --seed 9 --brokers 3 --faults kill')
    expect(text).toContain('| messages acknowledged | 12, 1/s |')
    expect(text).toContain('| messages never acknowledged | 1 |')
    expect(text).toContain('| 1.0 | kill-one 2 | 2.0 | 1.0 | 1.50 | 1.50 |')
    expect(text).toContain('| kill-one | 2 | 1.80 | 2.10 |')
    expect(text).toContain('](run.svg)')
    expect(text).toContain('- broker 2 refuses its log')
  })

  test('shows every violation', () => {
    const text = writeReport({ ...RESULT, violations: [{ check: 'lost', detail: 't.1: 3 of 5' }] }, undefined)
    expect(text).toContain('**1 violations**')
    expect(text).toContain('- `lost`: t.1: 3 of 5')
  })

  test('the command of a run with a mutant names it', () => {
    expect(replayCommand({ ...SETTINGS, faults: '', mutant: 'applies-twice' })).toBe(
      'npm run test:chaos -- --minutes 2 --seed 9 --brokers 3 --mutant applies-twice',
    )
  })

  test('a cell may hold a bar', () => {
    expect(table(['a'], [['b|c']])).toBe('| a |\n| --- |\n| b\\|c |')
  })
})

describe('the timeline', () => {
  const svg = drawTimeline({ ...RESULT, title: 'seed 9 <3 brokers>' })

  test('draws the rate and every fault by name', () => {
    expect(svg).toMatch(/^<svg /)
    expect(svg).toContain('>kill-one 2</text>')
    expect(svg.match(/class="hold"/g)).toHaveLength(2)
    expect(svg.match(/class="recovery"/g)).toHaveLength(2)
    const [points] = /points="([^"]*)"/.exec(svg)!.slice(1)
    expect(points!.split(' ')).toHaveLength(40)
  })

  test('text is escaped, and no coordinate is missing', () => {
    expect(svg).toContain('seed 9 &lt;3 brokers&gt;')
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  })
})
