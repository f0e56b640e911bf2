import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { encodeMetadataCommand, MetadataState, parseMetadataCommand } from '@sluice/metadata'
import { levelOf } from '../src/command-level.js'

const fixture = (name: string): string => readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8')

interface Golden {
  readonly level: number
  readonly command: Record<string, unknown> & { readonly kind: string }
}

/** One command of every kind, as it is in logs, with the feature level that it takes. */
const COMMANDS = fixture('commands.jsonl')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Golden)

test.each(COMMANDS)(
  '$command.kind is written and read as it always was, at level $level',
  ({ level, command }) => {
    const parsed = parseMetadataCommand(command)
    expect(JSON.parse(new TextDecoder().decode(encodeMetadataCommand(parsed)))).toEqual(command)
    expect(levelOf(parsed)).toBe(level)
  },
)

test('no kind is without a golden command: one that is new takes a level', () => {
  const source = readFileSync(new URL('../src/parse-command.ts', import.meta.url), 'utf8')
  const kinds = Array.from(source.matchAll(/^ {4}case '([a-z-]+)':/gm), ([, kind]) => kind!)
  expect(kinds.length).toBeGreaterThan(20)
  expect([...new Set(COMMANDS.map(({ command }) => command.kind))].sort()).toEqual(kinds.sort())
})

test('a field that a later version added does not keep a command from being read, a kind or a version does', () => {
  const { command } = COMMANDS[0]!
  const later = { ...command, ofTheFuture: 1 }
  expect(parseMetadataCommand(later)).toEqual(parseMetadataCommand(command))
  const unsupported = expect.objectContaining({ code: 'UNSUPPORTED_VERSION' })
  expect(() => parseMetadataCommand({ ...command, v: 2 })).toThrow(unsupported)
  expect(() => parseMetadataCommand({ ...command, kind: 'of-the-future' })).toThrow(unsupported)
})

test('a snapshot that the version before wrote is read, and says the same when it is written again', () => {
  const stored = JSON.parse(fixture('snapshot-1.json')) as Record<string, unknown>
  const again = JSON.parse(JSON.stringify(MetadataState.fromJSON(stored))) as unknown
  expect(again).toMatchObject(stored)
})

/** What the golden commands make of a cluster is the same in every version that runs mixed. */
test('the same commands make the same state as in the version before', () => {
  const stored = JSON.parse(fixture('snapshot-1.json')) as Record<string, unknown>
  const state = new MetadataState()
  const story = fixture('story.jsonl').trim().split('\n')
  for (const [i, line] of story.entries()) state.apply(i + 1, parseMetadataCommand(JSON.parse(line)))
  expect(JSON.parse(JSON.stringify(state))).toMatchObject(stored)
})
