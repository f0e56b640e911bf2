import { describe, expect, test } from '@jest/globals'
import { percentile, type LoadResult } from '../src/load-run.js'
import { parseConnections, parseLoopbackUrl, parseScenarios, parseSeconds } from '../src/options.js'
import { describeReport, toRow } from '../src/report.js'
import { faultsOf } from '../src/scenario.js'

const load: LoadResult = {
  acknowledged: 20_000,
  statuses: { 200: 20_000 },
  errors: 0,
  timeouts: 0,
  unanswered: 60,
  durationSeconds: 10,
  requestsPerSecond: 2000,
  p50Ms: 20,
  p99Ms: 60.25,
  maxMs: 90,
  endedEarly: false,
}

describe('the report', () => {
  test('shows our figures beside the original and the share of the bare server', () => {
    const row = toRow(
      { scenario: 'produce', connections: 60 },
      { load, faults: [], notes: ['all there'] },
      10_000,
    )
    const text = describeReport([row]).join('\n')
    expect(text).toMatch(/produce +60 +2000 +20\.00 +60\.25 +0 +20\.0 % +67–98 +p99 1600–2600 +passed/)
    expect(text).toContain('bare Fastify: 10000 req/s at 60')
    expect(text).toContain('produce at 60: all there')
  })

  test('says why a run failed', () => {
    const row = toRow(
      { scenario: 'add-topic', connections: 1 },
      { load, faults: ['3 connection errors'], notes: [] },
      0,
    )
    expect(row.verdict).toBe('failed')
    expect(describeReport([row]).join('\n')).toContain('FAILED add-topic at 1: 3 connection errors')
  })
})

describe('a load', () => {
  test('may have one call per connection on the wire when it ends', () => {
    expect(faultsOf(load, 60)).toEqual([])
    expect(faultsOf({ ...load, unanswered: 61 }, 60)).toEqual([
      '1 calls whose connection was closed without an answer',
    ])
  })

  test('fails with answers that are no success, time-outs and errors', () => {
    const bad = { ...load, acknowledged: 0, statuses: { 503: 2, 404: 1 }, errors: 1, timeouts: 1 }
    expect(faultsOf(bad, 60, 404)).toEqual([
      '2 answers with status 503',
      '1 connection errors',
      '1 calls without an answer in time',
      'no call succeeded',
    ])
  })

  test('has percentiles that are values which occurred', () => {
    const sorted = Float64Array.from([1, 2, 3, 4])
    expect([percentile(sorted, 0.5), percentile(sorted, 0.99), percentile(new Float64Array(0), 0.5)]).toEqual(
      [2, 4, 0],
    )
  })
})

describe('an option', () => {
  test('takes addresses of this machine only', () => {
    expect(parseLoopbackUrl('http://127.0.0.1:8080/')).toBe('http://127.0.0.1:8080')
    expect(parseLoopbackUrl('http://[::1]:1')).toBe('http://[::1]:1')
    for (const text of [
      'http://example.org',
      'https://127.0.0.1',
      'http://127.0.0.1.example.org',
      'nonsense',
    ]) {
      expect(() => parseLoopbackUrl(text)).toThrow()
    }
  })

  test('refuses numbers and names that make no sense', () => {
    expect(parseConnections('1,60')).toEqual([1, 60])
    expect(parseScenarios('produce, consume')).toEqual(['produce', 'consume'])
    for (const text of ['0', 'x', '1,', '5000']) expect(() => parseConnections(text)).toThrow()
    for (const text of ['0', 'x', 'Infinity']) expect(() => parseSeconds(text)).toThrow()
    expect(() => parseScenarios('everything')).toThrow()
  })
})
