import { describe, expect, test } from '@jest/globals'
import { explainFailure } from '../src/failure-text.js'
import { LineSplitter } from '../src/line-splitter.js'
import { formatLogLine, parseLogLine } from '../src/log-line.js'
import { ProcessStartError } from '../src/managed-process.js'
import { RestartDelay } from '../src/restart-delay.js'

const at = new Date(2026, 0, 2, 3, 4, 5, 67).getTime()
const fallback = { time: at, levelOfText: 40 }

describe('a log line', () => {
  test('shows time, process, level, message and the main fields', () => {
    const text = JSON.stringify({
      level: 30,
      time: at,
      pid: 1,
      hostname: 'h',
      msg: 'elected',
      partition: 'a.1',
      term: 3,
      note: 'two words',
    })
    expect(formatLogLine(parseLogLine(text, fallback), 'broker-1', false)).toBe(
      '03:04:05.067 broker-1        INFO  elected partition=a.1 term=3 note="two words"',
    )
  })

  test('shows an error by its message and code, not by its stack', () => {
    const text = JSON.stringify({
      level: 50,
      time: at,
      msg: 'lost',
      err: { message: 'gone', code: 'ECONNRESET', stack: 'long' },
    })
    expect(parseLogLine(text, fallback).fields).toBe('err="ECONNRESET: gone"')
  })

  test('that is not JSON is shown as it is', () => {
    for (const text of ['Error: plain', '{"half":', '{']) {
      expect(parseLogLine(text, fallback)).toEqual({ level: 40, time: at, message: text, fields: '' })
    }
  })

  test('has bounded fields', () => {
    const { fields } = parseLogLine(JSON.stringify({ msg: 'm', big: 'x'.repeat(1000) }), fallback)
    expect(fields.length).toBe(240)
  })

  test('is coloured for a terminal only', () => {
    const line = parseLogLine(JSON.stringify({ level: 50, time: at, msg: 'm' }), fallback)
    expect(formatLogLine(line, 'p', true)).toContain('\u001b[31mERROR\u001b[0m')
  })
})

describe('a line splitter', () => {
  test('puts lines together from pieces, also within a character', () => {
    const lines: string[] = []
    const splitter = new LineSplitter((line) => lines.push(line))
    const bytes = Buffer.from('grün\r\nblau\n\nrest')
    for (const byte of bytes) splitter.write(Uint8Array.of(byte))
    splitter.end()
    expect(lines).toEqual(['grün', 'blau', 'rest'])
  })

  test('cuts a line that is too long', () => {
    const lines: string[] = []
    const splitter = new LineSplitter((line) => lines.push(line), 4)
    splitter.write(Buffer.from('abcdefghij'))
    splitter.end()
    expect(lines).toEqual(['abcd', 'efgh', 'ij'])
  })
})

describe('the delay before a restart', () => {
  test('doubles up to 30 s while the process keeps failing, and starts over once it ran well', () => {
    const delay = new RestartDelay(1000)
    expect([1, 1, 1, 1, 1, 1, 1].map((ranMs) => delay.next(ranMs))).toEqual([
      1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
    ])
    expect(delay.next(10_000)).toBe(1000)
    expect(delay.next(10)).toBe(2000)
  })
})

describe('a failure', () => {
  test('of a process is explained with its last lines', () => {
    const error = new ProcessStartError('broker-1', 'ended with code 1', [
      'plain',
      JSON.stringify({ level: 50, time: at, msg: 'no disk' }),
    ])
    expect(explainFailure(error)).toEqual([
      'broker-1 ended with code 1; its last lines:',
      '  plain',
      '  03:04:05.067 broker-1        ERROR no disk',
    ])
    expect(explainFailure(new ProcessStartError('x', 'was not ready', []))).toEqual([
      'x was not ready; it wrote nothing',
    ])
    expect(explainFailure(new Error('simple'))).toEqual(['simple'])
  })
})
