import { describe, expect, test } from '@jest/globals'
import { BLANK } from '../src/core/message.js'
import { EntryKind, MessageKind, type RaftMessage, Role } from '../src/core/types.js'
import { nodeId } from '../src/testing/core-driver.js'
import type { Parcel } from '../src/testing/script/parcel.js'
import { playScenario } from '../src/testing/script/scenario.js'
import { ScenarioError } from '../src/testing/script/scenario-error.js'
import { type DiskView, ScriptLaws } from '../src/testing/script/script-laws.js'

/** What the last block of these commands prints. */
function play(...lines: readonly string[]): string {
  return playScenario([...lines, '----', ''].join('\n'))
    .split('----\n')
    .at(-1)!
    .trimEnd()
}

describe('a scenario', () => {
  test('that prints what stands in it comes back as it is, with its comments and empty lines', () => {
    const text = [
      '# A comment.',
      '',
      'add-nodes 3',
      '# Another one.',
      'tick-election 1',
      '----',
      '1 PRE_CANDIDATE term=0 vote=0 leader=0',
      '',
      '',
      'quietly turn 1',
      '----',
      'ok',
      '',
      '# The end.',
      '',
    ].join('\n')
    expect(playScenario(text)).toBe(text)
  })

  test('that prints something else comes back with that, in the same places', () => {
    const played = playScenario('add-nodes 1\n----\nnonsense\nmore\n\nraft-state\n----\n')
    expect(played).toBe(
      'add-nodes 1\n----\nok\n\nraft-state\n----\n' +
        '1 FOLLOWER term=0 vote=0 leader=0 commit=0 applied=0 last=0/0 voters=1\n',
    )
  })

  test.each([
    { name: 'a command that does not exist', lines: ['dance 1'], message: 'there is no command dance' },
    {
      name: 'an option that nobody takes',
      lines: ['add-nodes 1 colour=red'],
      message: 'does not know colour',
    },
    { name: 'a word too many', lines: ['add-nodes 1', 'compact 1 0 0'], message: 'does not know 0' },
    { name: 'an option given twice', lines: ['add-nodes 1 term=1 term=2'], message: 'term is given twice' },
    {
      name: 'a word that is no number',
      lines: ['add-nodes one'],
      message: 'a number is expected, not “one”',
    },
    { name: 'a missing number', lines: ['add-nodes'], message: 'a number is expected' },
    { name: 'a node that does not exist', lines: ['add-nodes 1', 'turn 2'], message: 'there is no node 2' },
    { name: 'a node that is down', lines: ['add-nodes 1', 'crash 1', 'turn 1'], message: 'node 1 is down' },
    { name: 'a start of a node that runs', lines: ['add-nodes 1', 'restart 1'], message: 'node 1 runs' },
    {
      name: 'a transfer to nobody',
      lines: ['add-nodes 1', 'transfer-leadership 1'],
      message: 'to= says who',
    },
    {
      name: 'an election that cannot be won',
      lines: ['add-nodes 3', 'elect 1'],
      message: 'node 1 is not elected',
    },
    {
      name: 'a snapshot of what is not applied',
      lines: ['add-nodes 2 log=1', 'snapshot 1 2 index=1'],
      message: 'no state as of 1',
    },
    {
      name: 'compaction of what is not applied',
      lines: ['add-nodes 1 log=1', 'compact 1 1'],
      message: 'only what is applied',
    },
    {
      name: 'an election timeout out of range',
      lines: ['add-nodes 1', 'set-election-timeout 1 20'],
      message: 'is in [10, 20)',
    },
  ])('with $name ends with its line', ({ lines, message }) => {
    expect(() => play(...lines)).toThrow(ScenarioError)
    expect(() => play(...lines)).toThrow(`before line ${lines.length + 1}`)
    expect(() => play(...lines)).toThrow(message)
  })

  test('with commands and no place for their output is refused', () => {
    expect(() => playScenario('add-nodes 1\n')).toThrow('has no ---- under it')
  })
})

describe('the world of a scenario', () => {
  const LEADER = ['quietly add-nodes 2', 'quietly campaign 1', 'quietly stabilize', 'quietly propose 1 a b']

  test('writes and syncs are told apart: nothing that waits for the disk leaves before', () => {
    expect(play(...LEADER, 'quietly turn 1', 'quietly deliver', 'turn 2', 'in-flight')).toBe(
      '2 writes term=1 vote=1 commit=1 [2/1 "a"] [3/1 "b"]',
    )
    expect(play(...LEADER, 'quietly turn 1', 'quietly deliver', 'quietly turn 2', 'persist 2')).toBe(
      '2->1 APPEND_RESPONSE term=1 match=3\n2 durable=3 unsynced=0',
    )
  })

  test('a crash loses what was not synced, except what the disk had taken', () => {
    const written = [...LEADER, 'quietly turn 1', 'quietly propose 1 c', 'quietly turn 1']
    const restarted = (crash: string): string => play(...written, crash, 'quietly restart 1', 'raft-log 1')
    expect(restarted('crash 1')).not.toContain('"')
    expect(restarted('crash 1 kept=1')).toMatch(/\[2\/1 "a"\]\n1 \[3\/1 "b"\]$/)
    expect(restarted('crash 1 kept=9')).toContain('1 [4/1 "c"]')
  })

  test('messages are delivered, kept, lost and reordered as told', () => {
    const beaten = [
      ...LEADER,
      'quietly stabilize',
      'quietly tick 1',
      'quietly turn 1',
      'quietly propose 1 c',
      'quietly turn 1',
    ]
    const heartbeat = '1->2 HEARTBEAT term=1 commit=3 all=3'
    const append = '1->2 APPEND term=1 prev=3/1 commit=3 [4/1 "c"]'
    expect(play(...beaten, 'in-flight')).toBe(`${heartbeat}\n${append}`)
    expect(play(...beaten, 'deliver kind=append to=2 from=1', 'in-flight')).toBe(heartbeat)
    expect(play(...beaten, 'deliver count=1 latest', 'in-flight')).toBe(heartbeat)
    expect(play(...beaten, 'deliver keep', 'in-flight')).toBe(`${heartbeat}\n${append}`)
    expect(play(...beaten, 'deliver drop=2 count=1')).toBe(`lost ${heartbeat}`)
    expect(play(...beaten, 'deliver from=2')).toBe('nothing is on its way')
    expect(play(...beaten, 'crash 2', 'deliver')).toBe(`lost ${heartbeat}\nlost ${append}`)
  })

  test('election timeouts are one tick longer from node to node, or as set', () => {
    const ticked = (id: number, count: number): string =>
      play('quietly add-nodes 3', `quietly tick ${id} count=${count}`, `tick ${id}`)
    for (const id of [1, 2, 3]) {
      expect(ticked(id, 7 + id)).toBe('ok')
      expect(ticked(id, 8 + id)).toContain('PRE_CANDIDATE')
    }
    const set = [
      'quietly add-nodes 3',
      'set-election-timeout 1 19',
      'quietly elect 2 by=1,3',
      'quietly stabilize',
    ]
    expect(play(...set, 'tick 1 count=18')).toBe('ok')
    expect(play(...set, 'tick 1 count=19')).toContain('PRE_CANDIDATE')
  })
})

describe('the laws of a scenario', () => {
  const disk = (term: number, vote: number, lastIndex: number): DiskView => ({
    hardState: { term, vote: vote === 0 ? 0 : nodeId(vote) },
    log: { lastIndex },
  })
  const parcel = (fields: Partial<RaftMessage>): Parcel => {
    const message = { ...BLANK, from: nodeId(1), to: nodeId(2), ...fields }
    return { from: nodeId(1), to: nodeId(2), content: { kind: 'message', message, entries: [] } }
  }

  test('a term has one leader', () => {
    const laws = new ScriptLaws()
    laws.role(nodeId(1), Role.LEADER, 1)
    laws.role(nodeId(1), Role.LEADER, 1)
    laws.role(nodeId(2), Role.FOLLOWER, 1)
    laws.role(nodeId(2), Role.LEADER, 2)
    expect(() => laws.role(nodeId(2), Role.LEADER, 1)).toThrow('term 1 has two leaders: 1 and 2')
  })

  test('everybody applies the same', () => {
    const laws = new ScriptLaws()
    const entry = { index: 1, term: 1, kind: EntryKind.COMMAND, data: new Uint8Array([65]) }
    laws.applied(nodeId(1), [entry])
    laws.applied(nodeId(2), [entry])
    for (const other of [
      { ...entry, term: 2 },
      { ...entry, data: new Uint8Array([66]) },
    ])
      expect(() => laws.applied(nodeId(2), [other])).toThrow('node 2 applies')
  })

  test('no vote and no acknowledgement leaves before it is durable', () => {
    const laws = new ScriptLaws()
    const vote = parcel({ kind: MessageKind.VOTE_RESPONSE, term: 2 })
    laws.sent(vote, disk(2, 2, 0))
    laws.sent(vote, disk(3, 0, 0))
    for (const before of [disk(1, 2, 0), disk(2, 0, 0), disk(2, 3, 0)])
      expect(() => laws.sent(vote, before)).toThrow('a vote leaves before it is durable')
    const acknowledgement = parcel({ kind: MessageKind.APPEND_RESPONSE, term: 2, index: 5 })
    laws.sent(acknowledgement, disk(2, 0, 5))
    expect(() => laws.sent(acknowledgement, disk(2, 0, 4))).toThrow('before they are durable')
  })
})
