import { describe, expect, test } from '@jest/globals'
import { simpleConfiguration } from '../src/core/configuration.js'
import type { ForcedConfiguration } from '../src/core/forced.js'
import { bestSurvivor, type SurvivorLog, tailOf } from '../src/core/survivor.js'
import { EntryKind, Role } from '../src/core/types.js'
import { CoreDriver, entriesOfTerms, MemoryLog, nodeId } from '../src/testing/index.js'
import { HostCluster, idOf } from './host-cluster.js'

const TERM = 1_000_000

async function cluster(ids: readonly number[]): Promise<HostCluster> {
  const hosts = new HostCluster({ heartbeatTicks: 1, quiesceTicks: 0 })
  for (const id of ids) hosts.start(id, { voters: ids })
  await hosts.elect(ids[0]!)
  return hosts
}

function decision(hosts: HostCluster, id: number, voters: readonly number[]): ForcedConfiguration {
  const { log } = hosts.group(id)
  const { lastIndex } = log
  return {
    configuration: { ...simpleConfiguration(voters.map(idOf)), context: new Uint8Array([9]) },
    term: TERM,
    lastIndex,
    lastTerm: log.term(lastIndex) ?? 0,
  }
}

describe('a configuration that is forced on a lone survivor', () => {
  test('a lone survivor never promotes itself', async () => {
    const hosts = await cluster([1, 2, 3])
    await hosts.propose(1, 'a')
    hosts.stop(1)
    hosts.stop(2)
    await hosts.tick(500)
    expect(hosts.leaders).toEqual([])
    expect(hosts.group(3).configuration.voters).toEqual([1, 2, 3])
    expect(hosts.group(3).state.leader).toBe(0)
  })

  test('lets it lead, keeps all that it had, and takes new entries', async () => {
    const hosts = await cluster([1, 2, 3])
    await hosts.propose(1, 'a', 'b')
    hosts.stop(1)
    hosts.stop(2)
    await hosts.tick(30)
    const forced = hosts.group(3).forceConfiguration(decision(hosts, 3, [3]))
    expect(forced).toMatchObject({ kind: 'forced', term: TERM })
    await hosts.settle()
    expect(hosts.leaders).toEqual([3])
    expect(hosts.group(3).state.term).toBeGreaterThan(TERM)
    await hosts.propose(3, 'c')
    expect(hosts.texts(3)).toEqual(['a', 'b', 'c'])
    expect([...hosts.group(3).configuration.context]).toEqual([9])
    expect(hosts.failures).toEqual([])
  })

  test('is in the log: the survivor starts with it again', async () => {
    const hosts = await cluster([1, 2, 3])
    await hosts.propose(1, 'a')
    hosts.stop(1)
    hosts.stop(2)
    await hosts.tick(30)
    hosts.group(3).forceConfiguration(decision(hosts, 3, [3]))
    await hosts.settle()
    const { store } = hosts.node(3)
    hosts.stop(3)
    hosts.start(3, { voters: [1, 2, 3], store })
    await hosts.tick(60)
    expect(hosts.leaders).toEqual([3])
    expect(hosts.group(3).configuration.voters).toEqual([3])
  })
})

describe('a configuration that is forced where several survive', () => {
  test('the others follow the one that has it, and lose what only they had', async () => {
    const hosts = await cluster([1, 2, 3, 4, 5])
    await hosts.propose(1, 'a')
    await hosts.tick(3)
    // Entries that nobody but their leader has.
    hosts.isolate(1)
    await hosts.propose(1, 'only on 1')
    await hosts.tick(30)
    hosts.heal()
    await hosts.tick(60)
    for (const id of [1, 2, 3]) hosts.stop(id)
    await hosts.tick(40)
    expect(hosts.leaders).toEqual([])
    hosts.group(5).forceConfiguration(decision(hosts, 5, [4, 5]))
    await hosts.settle()
    await hosts.tick(60)
    expect(hosts.leaders).toEqual([5])
    await hosts.propose(5, 'b')
    await hosts.tick(3)
    for (const id of [4, 5]) expect(hosts.texts(id)).toEqual(['a', 'b'])
    expect(hosts.failures).toEqual([])
  })

  test('a member that was given up is not elected by those who are left', async () => {
    const hosts = await cluster([1, 2, 3])
    await hosts.propose(1, 'a')
    await hosts.tick(3)
    const { store: oldStore, machine } = hosts.node(1)
    hosts.stop(1)
    hosts.stop(2)
    await hosts.tick(30)
    hosts.group(3).forceConfiguration(decision(hosts, 3, [3]))
    await hosts.settle()
    hosts.start(1, { voters: [1, 2, 3], store: oldStore, machine })
    await hosts.tick(200)
    expect(hosts.leaders).toEqual([3])
    await hosts.propose(3, 'c')
    expect(hosts.texts(3)).toEqual(['a', 'c'])
    expect(hosts.failures).toEqual([])
  })
})

describe('nothing is changed when', () => {
  function survivor(): CoreDriver {
    return new CoreDriver({ log: MemoryLog.of(entriesOfTerms([1, 1, 2])) })
  }

  function refused(driver: CoreDriver, change: Partial<ForcedConfiguration>): unknown {
    const before = { ...driver.hardState }
    const outcome = driver.core.forceConfiguration({
      configuration: simpleConfiguration([nodeId(1)]),
      term: 9,
      lastIndex: 3,
      lastTerm: 2,
      ...change,
    })
    driver.settle()
    expect(driver.core.configuration.voters).toEqual([1, 2, 3])
    expect(driver.core.term).toBe(before.term)
    return outcome
  }

  test('the log ends elsewhere than it did when the decision was made', () => {
    expect(refused(survivor(), { lastIndex: 2 })).toMatchObject({
      kind: 'outdated',
      lastIndex: 3,
      lastTerm: 2,
    })
    expect(refused(survivor(), { lastTerm: 1 })).toMatchObject({ kind: 'outdated' })
  })

  test('the term was entered already', () => {
    expect(refused(survivor(), { term: 2 })).toMatchObject({ kind: 'outdated', term: 2 })
  })

  test('this node is no voter of it, or it is joint', () => {
    const others = simpleConfiguration([nodeId(2)])
    expect(refused(survivor(), { configuration: others })).toMatchObject({ kind: 'invalid' })
    const joint = { ...simpleConfiguration([nodeId(1)]), votersOutgoing: [nodeId(2)] }
    expect(refused(survivor(), { configuration: joint })).toMatchObject({ kind: 'invalid' })
  })

  test('this node may have forgotten what it had', () => {
    const driver = new CoreDriver({ log: MemoryLog.of(entriesOfTerms([1, 1, 2])), isRecovering: true })
    expect(refused(driver, {})).toEqual({ kind: 'recovering' })
  })

  test('somebody leads', async () => {
    const hosts = await cluster([1, 2, 3])
    await hosts.tick(3)
    for (const id of [1, 2])
      expect(hosts.group(id).forceConfiguration(decision(hosts, id, [id]))).toEqual({
        kind: 'has-leader',
        leader: 1,
      })
    expect(hosts.group(1).configuration.voters).toEqual([1, 2, 3])
  })
})

test('a forced configuration goes on disk with a vote for this node, before it is counted', () => {
  const driver = new CoreDriver({ log: MemoryLog.of(entriesOfTerms([1])) })
  driver.core.forceConfiguration({
    configuration: simpleConfiguration([nodeId(1)]),
    term: 9,
    lastIndex: 1,
    lastTerm: 1,
  })
  driver.turn()
  expect(driver.hardState).toMatchObject({ term: 9, vote: 1 })
  expect(driver.log.slice(2, 2)).toMatchObject([{ index: 2, term: 9, kind: EntryKind.CONFIGURATION }])
  driver.core.campaign()
  driver.turn()
  expect(driver.core.commit).toBe(0)
  driver.settle()
  expect(driver.core.role).toBe(Role.LEADER)
  expect(driver.core.commit).toBe(3)
})

describe('the log that the others are to take', () => {
  function logOf(node: number, commit: number, terms: readonly number[]): SurvivorLog {
    const log = MemoryLog.of(entriesOfTerms(terms))
    return { node: nodeId(node), commit, lastIndex: terms.length, tail: tailOf(log, commit) }
  }

  test('is the one of the latest term, and then the longest', () => {
    expect(bestSurvivor([])).toBeUndefined()
    expect(bestSurvivor([logOf(1, 1, [1, 1, 1, 1]), logOf(2, 1, [1, 2]), logOf(3, 1, [1, 2])])?.node).toBe(2)
    expect(bestSurvivor([logOf(1, 0, []), logOf(2, 0, [1])])?.node).toBe(2)
    expect(bestSurvivor([logOf(1, 2, [1, 2]), logOf(2, 1, [1, 2, 2])])?.node).toBe(2)
  })

  test('has what any of them knows to be committed, even where another one looks more up to date', () => {
    // 2 led term 3 and was heard by nobody; 4 led later and told 1 that its second entry is committed.
    expect(bestSurvivor([logOf(1, 2, [1, 2]), logOf(2, 1, [1, 3, 3])])?.node).toBe(1)
  })

  test('is described by where its terms begin', () => {
    expect(tailOf(MemoryLog.of(entriesOfTerms([1, 1, 2, 2, 2, 5])), 2)).toEqual([
      [2, 1],
      [3, 2],
      [6, 5],
    ])
    expect(tailOf(MemoryLog.of(entriesOfTerms([1, 1])), 2)).toEqual([[2, 1]])
    expect(tailOf(MemoryLog.of(entriesOfTerms([])), 0)).toEqual([[0, 0]])
  })
})
