import { afterEach, describe, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import type { NodeId } from '../src/core/types.js'
import { RaftHost } from '../src/host/raft-host.js'
import { MemoryFiles } from '../src/snapshot/memory-files.js'
import { SnapshotExchange } from '../src/snapshot/snapshot-exchange.js'
import { openSnapshotStore } from '../src/snapshot/snapshot-store.js'
import { VolatileStore } from '../src/storage/volatile-store.js'
import { bytesOf, GROUP, idOf, TextMachine } from './host-cluster.js'
import { UUID } from './snapshot-fixture.js'

interface Member {
  readonly host: RaftHost
  readonly machine: TextMachine
  readonly exchange: SnapshotExchange
}

/** Hosts that bring each other snapshots by an exchange. */
class Cluster {
  readonly members = new Map<number, Member>()
  readonly failures: Error[] = []
  isolated = 0
  #queue: (() => void)[] = []

  async start(id: number): Promise<void> {
    const store = await openSnapshotStore({
      directory: '/simulated',
      files: new MemoryFiles(),
      chunkBytes: 64,
    })
    const machine = new TextMachine()
    const send = (to: NodeId, frame: Uint8Array): boolean => {
      this.#queue.push(() => {
        if (to !== this.isolated && id !== this.isolated) this.members.get(to)?.host.receive(idOf(id), frame)
      })
      return true
    }
    const exchange = new SnapshotExchange({
      store,
      random: new SeededRandom(id),
      limits: { sender: { chunkBytes: 50, windowBytes: 200 } },
      send,
      uuidOf: (group) => (group === GROUP ? UUID : undefined),
      onReceived: (group, _from, _term, _meta, source) => host.snapshotReceived(group, source),
      onSent: (group, peer) => host.snapshotEnded(group, peer),
      onFailed: (group, peer) => host.snapshotEnded(group, peer),
      onFatal: (error) => this.failures.push(error),
    })
    const host: RaftHost = new RaftHost({
      nodeId: idOf(id),
      store: new VolatileStore(),
      transport: { send },
      random: new SeededRandom(id),
      scheduler: { soon: (run) => void this.#queue.push(run), every: () => () => undefined },
      snapshots: exchange,
      onFatal: (error) => this.failures.push(error),
    })
    machine.group = host.openGroup({
      id: GROUP,
      uuid: UUID,
      name: 'texts',
      voters: [1, 2, 3].map(idOf),
      applied: 0,
      machine,
    })
    this.members.set(id, { host, machine, exchange })
  }

  group(id: number) {
    return this.members.get(id)!.host.group(GROUP)!
  }

  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 5; quiet = this.#queue.length === 0 ? quiet + 1 : 0) {
      for (const run of this.#queue.splice(0)) run()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async tick(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      for (const { host } of this.members.values()) host.tick()
      await this.settle()
    }
  }

  async end(): Promise<void> {
    for (const { host, exchange } of this.members.values()) {
      host.stop()
      await exchange.close()
    }
  }
}

describe('hosts with an exchange', () => {
  let cluster: Cluster
  afterEach(() => cluster.end())

  test('bring a member up to date whose entries are compacted, and it follows the log from there', async () => {
    cluster = new Cluster()
    for (const id of [1, 2, 3]) await cluster.start(id)
    cluster.group(1).campaign()
    await cluster.settle()
    cluster.isolated = 3
    const texts = Array.from({ length: 200 }, (_, i) => `text ${i}`)
    cluster.group(1).propose(texts.map(bytesOf))
    await cluster.tick(3)
    const leader = cluster.members.get(1)!
    leader.host.compact(cluster.group(1), cluster.group(1).applied)
    expect(cluster.members.get(3)!.machine.texts).toEqual([])
    cluster.isolated = 0
    await cluster.tick(40)
    const late = cluster.members.get(3)!.machine
    expect(late.texts).toEqual(texts)
    expect(late.restoredCount).toBe(1)
    cluster.group(1).propose([bytesOf('one more')])
    await cluster.tick(5)
    expect(late.texts).toEqual([...texts, 'one more'])
    expect(late.restoredCount).toBe(1)
    expect(cluster.failures).toEqual([])
  })
})
