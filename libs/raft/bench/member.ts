import { invariant, SeededRandom } from '@sluice/foundation'
import {
  type FramePriority,
  type NodeId,
  openWal,
  RaftHost,
  type RaftGroupId,
  Role,
  type Wal,
} from '@sluice/raft'
import { BenchMachine } from './bench-machine.js'
import { tellEvent } from './calls.js'
import { ClosedLoop, type LoadShape } from './closed-loop.js'
import { DiskMeter, type DiskReading } from './disk-meter.js'
import { decodeFrame, nodeFiles, TcpTransport, type Transport } from './internals.js'
import type {
  MemberCalls,
  MemberEvent,
  MemberLoadReport,
  MemberSettings,
  MemberUsage,
} from './member-calls.js'
import { until } from './until.js'

const LOCALHOST = '127.0.0.1'
const CLUSTER_ID = new Uint8Array(16).fill(0xbe)
const VOTERS = [1, 2, 3] as readonly number[] as readonly NodeId[]
/** Campaigns begun at a time, so that a frame with all of them stays of a usual size. */
const CAMPAIGNS_AT_ONCE = 500
/** Between two chunks of a file that is filled there is less. */
const UNFILLED_MS = 500
const FIRST = 1 as RaftGroupId

/** One node: a log on disk, a transport by TCP, a host, and groups whose machines only count. */
export class Member implements MemberCalls {
  readonly #meter = new DiskMeter()
  readonly #machines = new Map<RaftGroupId, BenchMachine>()
  #settings: MemberSettings | undefined
  #wal: Wal | undefined
  #transport: Transport | undefined
  #host: RaftHost | undefined
  #framesSent = 0
  #messagesSent = 0
  #serving: ClosedLoop | undefined

  async start(settings: MemberSettings): Promise<number> {
    this.#settings = settings
    const id = settings.id as NodeId
    const nodeUuid = new Uint8Array(16).fill(settings.id)
    const random = new SeededRandom(settings.id * 1000 + settings.bootEpoch)
    this.#wal = await openWal({
      directory: settings.directory,
      nodeUuid,
      files: this.#meter.files(nodeFiles),
      onFatal: fail,
    })
    const transport = new TcpTransport({
      identity: {
        id,
        role: 'node',
        clusterId: CLUSTER_ID,
        uuid: nodeUuid,
        bootEpoch: settings.bootEpoch,
        address: `${LOCALHOST}:${settings.port}`,
      },
      listen: { host: LOCALHOST, port: settings.port },
      random,
    })
    const host = new RaftHost({
      nodeId: id,
      store: this.#meter.store(this.#wal),
      transport: { send: (peer, frame, priority) => this.#send(peer, frame, priority) },
      random,
      onFatal: fail,
    })
    this.#transport = transport
    this.#host = host
    await transport.start({
      onUp: () => undefined,
      onDown: (peer) => host.peerDown(peer),
      onMessage: (peer, frame) => host.receive(peer, frame),
      onRequest: () => new Uint8Array(0),
      onRefused: () => undefined,
    })
    return transport.address!.port
  }

  async connect(peers: readonly { readonly id: number; readonly port: number }[]): Promise<void> {
    const transport = this.#transport!
    for (const { id, port } of peers)
      transport.addPeer({ id: id as NodeId, address: { host: LOCALHOST, port } })
    await until(() => transport.status().every(({ connected }) => connected), 'every peer is connected')
  }

  openGroups(count: number): void {
    for (let i = 1; i <= count; i++) {
      const id = i as RaftGroupId
      const machine = new BenchMachine()
      machine.host = this.#host
      machine.group = this.#host!.openGroup({
        id,
        uuid: groupUuid(i),
        name: `group-${i}`,
        voters: VOTERS,
        applied: this.#wal!.group(id)?.compactedIndex ?? 0,
        machine,
      })
      this.#machines.set(id, machine)
    }
  }

  async settle(): Promise<void> {
    await until(() => this.#meter.unfilledMs > UNFILLED_MS, 'no file of the log is filled any more')
  }

  tick(): void {
    this.#host!.start()
  }

  async lead(groups: readonly number[]): Promise<void> {
    for (let from = 0; from < groups.length; from += CAMPAIGNS_AT_ONCE) {
      const some = groups
        .slice(from, from + CAMPAIGNS_AT_ONCE)
        .map((id) => this.#host!.group(id as RaftGroupId)!)
      for (const group of some) group.campaign()
      await until(() => some.every((group) => group.isLeader), 'this node leads')
    }
  }

  async quiesce(): Promise<void> {
    await until(() => this.#host!.awakeCount === 0, 'all groups are quiesced')
  }

  async load(shape: LoadShape): Promise<MemberLoadReport> {
    const machines = [...this.#machines.values()].filter((machine) => machine.group?.isLeader)
    const disk = { reading: this.#meter.read() }
    const loop = new ClosedLoop(machines, shape, {
      onMeasuring: () => this.#meter.clear(),
      onMeasured: () => (disk.reading = this.#meter.read()),
    })
    for (const [number, machine] of machines.entries()) machine.joinLoad(loop, number)
    try {
      return { ...(await loop.run()), disk: disk.reading }
    } finally {
      for (const machine of machines) machine.leaveLoad()
    }
  }

  serveWhenLeading({
    inFlight,
    payloadBytes,
  }: {
    readonly inFlight: number
    readonly payloadBytes: number
  }): void {
    const machine = this.#machines.get(FIRST)!
    const shape = { inFlight, payloadBytes, warmUpMs: 0, measureMs: 2 ** 31 - 1 }
    machine.onState = ({ role, term }) => {
      if (role !== Role.LEADER || this.#serving !== undefined) {
        if (role !== Role.LEADER) this.#serving = undefined
        return
      }
      const loop = new ClosedLoop([machine], shape, {
        onMeasuring: () => undefined,
        onMeasured: () => undefined,
        onFirstCommit: () =>
          tellEvent({ kind: 'first-commit', id: this.#settings!.id, term } satisfies MemberEvent),
      })
      this.#serving = loop
      machine.joinLoad(loop, 0)
      loop.run().catch(() => machine.leaveLoad())
    }
    machine.onState(machine.group!.state)
  }

  state(): { readonly isLeader: boolean; readonly applied: number } {
    const machine = this.#machines.get(FIRST)!
    return { isLeader: machine.group!.isLeader, applied: machine.applied }
  }

  usage(): MemberUsage {
    const { user, system } = process.cpuUsage()
    const atMs = performance.now()
    const bytesSent = this.#transport!.status().reduce((sum, { bytesOut }) => sum + bytesOut, 0)
    const { rss, heapUsed, heapTotal, arrayBuffers } = process.memoryUsage()
    return {
      atMs,
      cpuUs: user + system,
      rssBytes: rss,
      heapBytes: heapUsed,
      heapTotalBytes: heapTotal,
      buffersBytes: arrayBuffers,
      framesSent: this.#framesSent,
      messagesSent: this.#messagesSent,
      bytesSent,
      awakeGroups: this.#host!.awakeCount,
    }
  }

  collectGarbage(): void {
    invariant(globalThis.gc !== undefined, 'the program was started with --expose-gc')
    globalThis.gc()
  }

  disk(): DiskReading {
    return this.#meter.read()
  }

  #send(peer: NodeId, frame: Uint8Array, priority: FramePriority): boolean {
    this.#framesSent++
    if (this.#settings!.countsMessages)
      this.#messagesSent += decodeFrame(frame, { from: this.#settings!.id as NodeId, to: peer }).length
    return this.#transport!.send(peer, frame, priority)
  }
}

function groupUuid(id: number): Uint8Array {
  const uuid = new Uint8Array(16).fill(0xbe)
  new DataView(uuid.buffer).setUint32(0, id)
  return uuid
}

function fail(error: Error): void {
  console.error(error)
  process.exit(1)
}
