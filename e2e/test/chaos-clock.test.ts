import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from '@jest/globals'
import { shiftClock } from '../src/chaos/broker-clock.js'

const MODULE = new URL('../dist/chaos/broker-clock.js', import.meta.url).href

/** In a process of its own, whose clocks may be spoilt. */
async function clocksOf(file: string, then: string): Promise<number[]> {
  const script = `
    const { followClockFile, shiftClock } = await import(${JSON.stringify(MODULE)})
    const file = ${JSON.stringify(file)}
    const wall = Date.now(), monotonic = performance.now()
    followClockFile(file)
    const shown = () => [Date.now() - wall, performance.now() - monotonic]
    const first = shown()
    ${then}
    console.log(JSON.stringify([...first, ...shown()]))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  return (JSON.parse(stdout) as number[]).map((ms) => Math.round(ms / 10_000) * 10_000)
}

test('a process follows its clock file: the wall clock both ways, the monotonic one only ahead', async () => {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'sluice-clock-'))
  try {
    const file = path.join(directory, 'clock')
    expect(await clocksOf(file, '')).toEqual([0, 0, 0, 0])
    shiftClock(file, { wallMs: -3_600_000, monotonicMs: 60_000 })
    const back = `shiftClock(file, { wallMs: 0, monotonicMs: 0 })
      await new Promise((resolve) => setTimeout(resolve, 500))`
    expect(await clocksOf(file, back)).toEqual([-3_600_000, 60_000, -3_600_000, 60_000])
    shiftClock(file, { wallMs: 0, monotonicMs: 0 })
    const leap = `shiftClock(file, { wallMs: 3_600_000, monotonicMs: 60_000 })
      await new Promise((resolve) => setTimeout(resolve, 500))`
    expect(await clocksOf(file, leap)).toEqual([0, 0, 3_600_000, 60_000])
  } finally {
    await rm(directory, { recursive: true })
  }
})
