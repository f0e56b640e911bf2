import { describe, expect, test } from '@jest/globals'
import type { ConfigurationChange } from '../src/core/configuration.js'
import type { ConfigurationResult } from '../src/core/leader.js'
import { BLANK } from '../src/core/message.js'
import { MessageKind, Role } from '../src/core/types.js'
import { encodeFrame, incarnationOf, RaftDecodeError } from '../src/host/codec.js'
import type { LogWrite } from '../src/storage/log-store.js'
import { VolatileStore } from '../src/storage/volatile-store.js'
import { bytesOf, GROUP, HostCluster, idOf, TextMachine } from './host-cluster.js'

async function cluster(timings = {}): Promise<HostCluster> {
  const hosts = new HostCluster({ heartbeatTicks: 1, quiesceTicks: 0, ...timings })
  for (const id of [1, 2, 3]) hosts.start(id)
  await hosts.elect(1)
  expect(hosts.leaders).toEqual([1])
  return hosts
}

describe('a group of hosts', () => {
  test('elects, commits and applies everywhere in one order', async () => {
    const hosts = await cluster()
    await hosts.propose(1, 'a', 'b')
    await hosts.propose(1, 'c')
    for (const id of [1, 2, 3]) expect(hosts.texts(id)).toEqual(['a', 'b', 'c'])
    expect(hosts.node(2).machine.states.at(-1)).toMatchObject({ role: Role.FOLLOWER, leader: 1 })
    expect(hosts.failures).toEqual([])
  })

  test('reads on a follower see everything committed before', async () => {
    const hosts = await cluster()
    await hosts.propose(1, 'a')
    const outcomes: unknown[] = []
    hosts.group(2).readIndex((outcome) => outcomes.push(outcome))
    await hosts.settle()
    expect(outcomes).toEqual([{ kind: 'ready', index: hosts.group(1).commit }])
  })

  test('a group that is closed answers everything that waits and that comes', async () => {
    const hosts = await cluster()
    hosts.isolate(1)
    const outcomes: string[] = []
    hosts.group(1).readIndex((outcome) => outcomes.push(outcome.kind))
    await hosts.settle()
    const group = hosts.group(1)
    hosts.node(1).host.closeGroup(GROUP)
    group.readIndex((outcome) => outcomes.push(outcome.kind))
    expect(outcomes).toEqual(['not-leader', 'not-leader'])
    expect(group.propose([bytesOf('x')])).toEqual({ kind: 'not-leader', leader: 0 })
    expect(hosts.node(1).host.group(GROUP)).toBeUndefined()
  })

  test('a peer with which no group is shared any more gets no signs of life', async () => {
    const hosts = await cluster()
    hosts.takeFrames()
    await hosts.tick()
    expect(hosts.takeFrames().some(({ from, to }) => from === 1 && to === 3)).toBe(true)
    hosts.node(1).host.closeGroup(GROUP)
    hosts.node(1).host.tick()
    expect(hosts.takeFrames()).toEqual([])
  })

  test('messages for another incarnation of a group are dropped', async () => {
    const hosts = await cluster()
    hosts.stop(3)
    hosts.start(3, { uuid: new Uint8Array(16).fill(9) })
    await hosts.tick(3)
    await hosts.propose(1, 'a')
    expect(hosts.group(3).log.lastIndex).toBe(0)
    expect(hosts.texts(2)).toEqual(['a'])
  })

  test('what an earlier process of a peer sent is not heard after the first word of a later one', async () => {
    const hosts = await cluster()
    const { term } = hosts.group(2).state
    const later = { ...BLANK, kind: MessageKind.PRE_VOTE_RESPONSE, reject: true }
    const frameOf = (epoch: number, ahead: number): Uint8Array =>
      encodeFrame(
        [
          {
            group: GROUP,
            incarnation: incarnationOf(hosts.group(2).log.uuid),
            message: { ...later, term: term + ahead },
            entries: [],
          },
        ],
        epoch,
      )
    hosts.node(2).host.receive(idOf(3), encodeFrame([], 5))
    hosts.node(2).host.receive(idOf(3), frameOf(4, 1))
    expect(hosts.group(2).state.term).toBe(term)
    hosts.node(2).host.receive(idOf(3), frameOf(5, 1))
    expect(hosts.group(2).state.term).toBe(term + 1)
  })

  test('a frame that cannot be decoded is refused whole', async () => {
    const hosts = await cluster()
    const frame = hosts.takeFrames().find((sent) => sent.to === 2)!.frame
    for (const broken of [frame.subarray(0, frame.length - 1), Uint8Array.from([4, ...frame.subarray(1)])])
      expect(() => hosts.node(2).host.receive(idOf(1), broken)).toThrow(RaftDecodeError)
  })
})

/** What it told its log, in order: entries and commit indexes, and what a machine stored because of them. */
class ToldStore extends VolatileStore {
  readonly told: string[] = []

  override append(writes: readonly LogWrite[], done?: () => void): void {
    for (const { entries = [], hardState } of writes) {
      this.told.push(...entries.map(({ index }) => `entry ${index}`))
      if (hardState !== undefined)
        this.told.push(`commit ${hardState.commit}${done === undefined ? ', not waited for' : ''}`)
    }
    super.append(writes, done)
  }
}

describe('the commit index', () => {
  async function told(keepsCommit: boolean): Promise<readonly string[]> {
    const hosts = new HostCluster({ heartbeatTicks: 1, quiesceTicks: 0 })
    const store = new ToldStore()
    const machine = new TextMachine()
    const apply = machine.apply.bind(machine)
    machine.apply = (applied) => {
      apply(applied)
      store.told.push(`applied ${machine.applied}`)
    }
    hosts.start(1)
    hosts.start(2, { store, machine, keepsCommit })
    hosts.start(3)
    await hosts.elect(1)
    await hosts.tick(2)
    store.told.length = 0
    await hosts.propose(1, 'a')
    await hosts.tick(2)
    expect(hosts.failures).toEqual([])
    return store.told
  }

  test('goes into the log ahead of what is applied, where that is asked for, and nobody waits for it', async () => {
    expect(await told(true)).toEqual(['entry 2', 'commit 2, not waited for', 'applied 2'])
  })

  test('travels with the next write otherwise', async () => {
    expect(await told(false)).toEqual(['entry 2', 'commit 1', 'applied 2'])
  })
})

describe('a disk that hangs', () => {
  test('costs a leader its leadership, and nothing else', async () => {
    class HangingStore extends VolatileStore {
      override stalledMs = 0
    }
    const hosts = new HostCluster({ heartbeatTicks: 1, quiesceTicks: 0, diskStallMs: 1000 })
    const store = new HangingStore()
    hosts.start(1, { store })
    for (const id of [2, 3]) hosts.start(id)
    await hosts.elect(1)
    store.stalledMs = 900
    await hosts.tick(30)
    expect(hosts.leaders).toEqual([1])
    store.stalledMs = 1100
    await hosts.tick(30)
    expect(hosts.leaders).toHaveLength(1)
    expect(hosts.leaders).not.toEqual([1])
  })
})

describe('quiescence', () => {
  const quiescing = { quiesceTicks: 3, heartbeatTicks: 1 }

  test('an idle group is not ticked and says nothing; processes still show that they live', async () => {
    const hosts = await cluster(quiescing)
    await hosts.propose(1, 'a')
    await hosts.tick(10)
    for (const id of [1, 2, 3]) expect(hosts.node(id).host.awakeCount).toBe(0)
    hosts.takeFrames()
    await hosts.tick(20)
    const frames = hosts.takeFrames()
    expect(frames).toHaveLength(20 * 6)
    for (const { frame } of frames) expect(frame).toEqual(encodeFrame([], 0))
    expect(hosts.leaders).toEqual([1])
  })

  test('a proposal wakes it', async () => {
    const hosts = await cluster(quiescing)
    await hosts.tick(10)
    await hosts.propose(1, 'a')
    for (const id of [1, 2, 3]) expect(hosts.texts(id)).toEqual(['a'])
    await hosts.tick(10)
    expect(hosts.node(1).host.awakeCount).toBe(0)
  })

  test('a read on a quiesced follower is answered', async () => {
    const hosts = await cluster(quiescing)
    await hosts.tick(10)
    const outcomes: string[] = []
    hosts.group(3).readIndex((outcome) => outcomes.push(outcome.kind))
    await hosts.settle()
    expect(outcomes).toEqual(['ready'])
  })

  test('the followers of a leader that falls silent elect another one', async () => {
    const hosts = await cluster(quiescing)
    await hosts.tick(10)
    hosts.stop(1)
    await hosts.tick(30)
    expect(hosts.leaders).toHaveLength(1)
    await hosts.propose(hosts.leaders[0]!, 'a')
    expect(hosts.texts(2)).toEqual(['a'])
  })

  test('the followers of a leader whose link breaks do not wait for silence', async () => {
    const hosts = await cluster(quiescing)
    await hosts.tick(10)
    hosts.stop(1)
    for (const id of [2, 3]) hosts.node(id).host.peerDown(idOf(1))
    await hosts.tick(6)
    expect(hosts.leaders).toHaveLength(1)
  })

  test('a group goes to sleep without a member that is away, and wakes when it comes back', async () => {
    const hosts = await cluster(quiescing)
    hosts.isolate(3)
    await hosts.propose(1, 'a')
    await hosts.tick(40)
    expect(hosts.node(1).host.awakeCount).toBe(0)
    hosts.heal()
    await hosts.tick(3)
    expect(hosts.texts(3)).toEqual(['a'])
    await hosts.tick(20)
    for (const id of [1, 2, 3]) expect(hosts.node(id).host.awakeCount).toBe(0)
    expect(hosts.leaders).toEqual([1])
  })

  test('a learner that comes back, and never campaigns, is brought up to date', async () => {
    const hosts = await cluster(quiescing)
    hosts.group(1).changeConfiguration({ voters: [1, 2].map(idOf), learners: [idOf(3)] })
    await hosts.tick(3)
    hosts.isolate(3)
    await hosts.propose(1, 'a')
    await hosts.tick(40)
    expect(hosts.node(1).host.awakeCount).toBe(0)
    hosts.heal()
    await hosts.tick(3)
    expect(hosts.texts(3)).toEqual(['a'])
  })

  test('a learner that restarts, and never campaigns, wakes the others', async () => {
    const hosts = await cluster(quiescing)
    hosts.group(1).changeConfiguration({ voters: [1, 2].map(idOf), learners: [idOf(3)] })
    await hosts.propose(1, 'a')
    await hosts.tick(40)
    expect(hosts.node(1).host.awakeCount).toBe(0)
    const { store, machine } = hosts.node(3)
    hosts.stop(3)
    hosts.start(3, { store, machine })
    await hosts.tick(40)
    expect(hosts.group(3).state).toMatchObject({ role: Role.LEARNER, leader: 1 })
    expect(hosts.group(3).commit).toBe(hosts.group(1).commit)
    expect(hosts.node(1).host.awakeCount).toBe(0)
  })

  test('a node that is started long after it was added is brought up to date', async () => {
    const hosts = await cluster(quiescing)
    await hosts.propose(1, 'a')
    const change = { voters: [1, 2, 3].map(idOf), learners: [idOf(4)], promotable: [idOf(4)] }
    expect(hosts.group(1).changeConfiguration(change).kind).toBe('accepted')
    await hosts.tick(60)
    expect(hosts.node(1).host.awakeCount).toBe(0)
    hosts.start(4, { voters: [] })
    await hosts.tick(10)
    expect(hosts.texts(4)).toEqual(['a'])
    expect(hosts.group(1).configuration.voters).toEqual([1, 2, 3, 4])
  })

  test('a follower that restarts finds its leader', async () => {
    const hosts = await cluster(quiescing)
    await hosts.propose(1, 'a')
    await hosts.tick(10)
    const { store, machine } = hosts.node(3)
    hosts.stop(3)
    hosts.start(3, { store, machine })
    await hosts.tick(40)
    expect(hosts.group(3).state).toMatchObject({ role: Role.FOLLOWER, leader: 1 })
    expect(hosts.leaders).toEqual([1])
    expect(hosts.node(3).host.awakeCount).toBe(0)
  })
})

describe('membership', () => {
  test('a new node starts as a learner and is made a voter once it has caught up', async () => {
    const hosts = await cluster()
    await hosts.propose(1, 'a', 'b')
    hosts.start(4, { voters: [] })
    const change = { voters: [1, 2, 3].map(idOf), learners: [idOf(4)], promotable: [idOf(4)] }
    expect(hosts.group(1).changeConfiguration(change).kind).toBe('accepted')
    await hosts.tick(5)
    for (const id of [1, 2, 3, 4]) expect(hosts.group(id).configuration.voters).toEqual([1, 2, 3, 4])
    expect(hosts.texts(4)).toEqual(['a', 'b'])
    expect(hosts.group(4).state.role).toBe(Role.FOLLOWER)
  })

  test('a majority is replaced through a joint configuration', async () => {
    const hosts = await cluster()
    await hosts.propose(1, 'a')
    for (const id of [4, 5]) hosts.start(id, { voters: [] })
    expect(hosts.group(1).changeConfiguration({ voters: [1, 4, 5].map(idOf) }).kind).toBe('accepted')
    expect(hosts.group(1).configuration.votersOutgoing).toEqual([1, 2, 3])
    await hosts.tick(5)
    expect(hosts.group(4).configuration).toMatchObject({ voters: [1, 4, 5], votersOutgoing: [] })
    hosts.stop(2)
    hosts.stop(3)
    await hosts.propose(1, 'b')
    expect(hosts.texts(5)).toEqual(['a', 'b'])
  })

  test('a leader that is removed hands over and steps down', async () => {
    const hosts = await cluster()
    expect(hosts.group(1).changeConfiguration({ voters: [2, 3].map(idOf) }).kind).toBe('accepted')
    await hosts.tick(3)
    expect(hosts.leaders).toHaveLength(1)
    expect(hosts.leaders).not.toContain(1)
    await hosts.propose(hosts.leaders[0]!, 'a')
    expect([hosts.texts(1), hosts.texts(2), hosts.texts(3)]).toEqual([[], ['a'], ['a']])
  })

  test('one change at a time, and only what makes sense', async () => {
    const hosts = await cluster()
    const [one, two, three] = [1, 2, 3].map(idOf) as [never, never, never]
    const change = (to: ConfigurationChange): ConfigurationResult => hosts.group(1).changeConfiguration(to)
    expect(change({ voters: [] })).toEqual({ kind: 'invalid', reason: 'a group has a voter' })
    expect(change({ voters: [one, one] })).toMatchObject({ kind: 'invalid' })
    expect(change({ voters: [one, two, three] })).toEqual({ kind: 'unchanged' })
    expect(hosts.group(2).changeConfiguration({ voters: [one] })).toEqual({ kind: 'not-leader', leader: 1 })
    expect(change({ voters: [one, two] }).kind).toBe('accepted')
    expect(change({ voters: [one] })).toEqual({ kind: 'change-pending' })
    await hosts.settle()
    expect(change({ voters: [one] }).kind).toBe('accepted')
  })
})

describe('snapshots', () => {
  async function compacted(): Promise<HostCluster> {
    const hosts = await cluster()
    hosts.isolate(3)
    await hosts.propose(1, 'a', 'b', 'c')
    const { host } = hosts.node(1)
    host.compact(hosts.group(1), hosts.group(1).applied)
    await hosts.propose(1, 'd')
    return hosts
  }

  test('a member whose entries are compacted gets one, and the log from there on', async () => {
    const hosts = await compacted()
    hosts.heal()
    await hosts.tick(5)
    expect(hosts.node(3).machine.restoredCount).toBe(1)
    expect(hosts.texts(3)).toEqual(['a', 'b', 'c', 'd'])
    await hosts.propose(1, 'e')
    expect(hosts.texts(3)).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(hosts.failures).toEqual([])
  })

  test('one that does not arrive is sent again', async () => {
    const hosts = await compacted()
    hosts.losesSnapshots = true
    hosts.heal()
    await hosts.tick(15)
    expect(hosts.group(1).progress(idOf(3))?.state).toBe('snapshot')
    expect(hosts.texts(3)).toEqual([])
    hosts.losesSnapshots = false
    await hosts.tick(15)
    expect(hosts.texts(3)).toEqual(['a', 'b', 'c', 'd'])
  })

  test('the configuration travels with it', async () => {
    const hosts = await cluster()
    hosts.start(4, { voters: [] })
    hosts.isolate(4)
    expect(hosts.group(1).changeConfiguration({ voters: [1, 2, 3, 4].map(idOf) }).kind).toBe('accepted')
    await hosts.settle()
    await hosts.propose(1, 'a')
    hosts.node(1).host.compact(hosts.group(1), hosts.group(1).applied)
    hosts.heal()
    await hosts.tick(30)
    expect(hosts.node(4).machine.restoredCount).toBe(1)
    expect(hosts.group(4).configuration.voters).toEqual([1, 2, 3, 4])
  })

  test('a crash between the machine’s restore and the log’s leaves a log that follows the machine', async () => {
    const hosts = await compacted()
    const machine = new TextMachine()
    machine.texts = ['a', 'b', 'c', 'd']
    const { applied, appliedTerm } = hosts.node(1).machine
    machine.applied = applied
    machine.appliedTerm = appliedTerm
    const snapshot = hosts.node(1).machine.snapshotMeta()
    const { store } = hosts.node(3)
    hosts.stop(3)
    hosts.heal()
    hosts.start(3, { store, machine, snapshot })
    expect(hosts.group(3).log.compactedIndex).toBe(applied)
    await hosts.propose(1, 'e')
    await hosts.tick(3)
    expect(hosts.texts(3)).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(machine.restoredCount).toBe(0)
  })
})
