import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { playScenario } from '../src/testing/script/scenario.js'

/**
 * Each file in `scenarios` is played and must print what stands in it. After a change that is meant,
 *
 *     REWRITE_SCENARIOS=1 npm run -s jest -- libs/raft/test/scenario-files
 *
 * writes down what they print now; the difference is then read like any other change.
 */
const FOLDER = new URL('scenarios/', import.meta.url)
const rewrites = process.env['REWRITE_SCENARIOS'] === '1'
const names = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.txt'))
  .map((file) => file.slice(0, -'.txt'.length))

describe('a group of cores goes through', () => {
  test.each(names)('%s', (name) => {
    const file = new URL(`${name}.txt`, FOLDER)
    const text = readFileSync(file, 'utf8')
    const played = playScenario(text)
    if (rewrites && played !== text) writeFileSync(file, played)
    expect(played).toBe(rewrites ? readFileSync(file, 'utf8') : text)
  })
})
