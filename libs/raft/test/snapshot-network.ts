import { invariant, type Random, SeededRandom } from '@sluice/foundation'
import type { NodeId, RaftGroupId, SnapshotMeta, Term } from '../src/core/types.js'
import type { SnapshotSource } from '../src/host/state-machine.js'
import type { SnapshotFiles } from '../src/snapshot/files.js'
import { decodeSnapshotFrame, type SnapshotFrame, SnapshotFrameKind } from '../src/snapshot/frame.js'
import { MemoryFiles } from '../src/snapshot/memory-files.js'
import { type ExchangeLimits, SnapshotExchange } from '../src/snapshot/snapshot-exchange.js'
import { openSnapshotStore, type SnapshotStore } from '../src/snapshot/snapshot-store.js'
import type { SnapshotTransferError } from '../src/snapshot/transfer-error.js'
import { contentIds, contentsOf, GROUP, inPieces, UUID } from './snapshot-fixture.js'

export interface Delivery {
  readonly group: RaftGroupId
  readonly from: NodeId
  readonly term: Term
  readonly meta: SnapshotMeta
  readonly data: Buffer
}

export interface ExchangeNodeOptions {
  readonly files?: SnapshotFiles
  readonly limits?: Partial<ExchangeLimits>
  /** What is delivered stays open until the test closes it. */
  readonly holds?: boolean
}

const SMALL: Partial<ExchangeLimits> = { sender: { chunkBytes: 64, windowBytes: 256 } }

/** One process: its store, its exchange, and what the exchange told. */
export class ExchangeNode {
  readonly id: NodeId
  readonly files: SnapshotFiles
  readonly store: SnapshotStore
  readonly exchange: SnapshotExchange
  readonly uuids = new Map<RaftGroupId, Uint8Array>([[GROUP, UUID]])
  readonly deliveries: Delivery[] = []
  readonly held: SnapshotSource[] = []
  readonly sent: string[] = []
  readonly failed: {
    readonly group: number
    readonly peer: number
    readonly error: SnapshotTransferError
  }[] = []
  readonly receiveFailed: Error[] = []
  /** Sources offered and not closed yet. */
  openSources = 0

  constructor(
    id: NodeId,
    network: SnapshotNetwork,
    parts: {
      readonly files: SnapshotFiles
      readonly store: SnapshotStore
      readonly options: ExchangeNodeOptions
    },
  ) {
    const { limits = {}, holds = false } = parts.options
    this.id = id
    this.files = parts.files
    this.store = parts.store
    this.exchange = new SnapshotExchange({
      store: parts.store,
      random: network.random,
      limits: { ...SMALL, ...limits, sender: { ...SMALL.sender, ...limits.sender } },
      send: (peer, frame) => network.send(id, peer, frame),
      uuidOf: (group) => this.uuids.get(group),
      onReceived: (group, from, term, meta, source) => {
        if (holds) this.held.push(source)
        void contentsOf(source).then(async (data) => {
          this.deliveries.push({ group, from, term, meta, data })
          if (!holds) await source.close()
        })
      },
      onSent: (group, peer) => this.sent.push(`${group} to ${peer}`),
      onFailed: (group, peer, error) => this.failed.push({ group, peer, error }),
      onReceiveFailed: (_group, _from, error) => this.receiveFailed.push(error),
      onFatal: (error) => network.fatal.push(error),
    })
  }

  /** Writes a snapshot of the group. */
  async make(meta: SnapshotMeta, data: Uint8Array, group = GROUP): Promise<void> {
    await this.store.write(group, UUID, meta, inPieces(data))
  }

  /** Offers a stored snapshot, the newest one. */
  async offer(
    peer: number,
    options: { term?: Term; group?: RaftGroupId; uuid?: Uint8Array } = {},
  ): Promise<void> {
    const { term = 1, group = GROUP, uuid = UUID } = options
    const source = await this.store.open(group, UUID, this.store.latest(group, UUID)!)
    this.offerSource(peer, source, { term, group, uuid })
  }

  offerSource(
    peer: number,
    source: SnapshotSource,
    { term = 1, group = GROUP, uuid = UUID }: { term?: Term; group?: RaftGroupId; uuid?: Uint8Array } = {},
  ): void {
    this.openSources++
    const close = source.close.bind(source)
    source.close = async () => {
      this.openSources--
      await close()
    }
    this.exchange.offer({ group, uuid, peer: peer as NodeId, term }, source)
  }

  get reasons(): string[] {
    return this.failed.map(({ error }) => error.reason)
  }
}

interface Envelope {
  readonly from: NodeId
  readonly to: NodeId
  readonly frame: Uint8Array
  readonly dueTick: number
}

export interface LinkFaults {
  /** Parts of all frames, from 0 to 1. */
  readonly lost: number
  readonly doubled: number
  readonly refused: number
  /** Each frame takes up to so many ticks: later ones overtake it. */
  readonly delayTicksMax: number
}

/** Exchanges whose frames and ticks happen when the test says so. */
export class SnapshotNetwork {
  readonly random: Random
  readonly nodes = new Map<number, ExchangeNode>()
  readonly fatal: Error[] = []
  /** Every frame that was given to the link. */
  readonly log: { readonly from: number; readonly to: number; readonly frame: SnapshotFrame }[] = []
  faults: LinkFaults = { lost: 0, doubled: 0, refused: 0, delayTicksMax: 0 }
  /** Asked for each frame that would arrive; false loses it. */
  passes: (from: number, to: number, frame: SnapshotFrame) => boolean = () => true
  #queue: Envelope[] = []
  #ticks = 0

  constructor(seed = 1) {
    this.random = new SeededRandom(seed)
  }

  async start(id: number, options: ExchangeNodeOptions = {}): Promise<ExchangeNode> {
    const files = options.files ?? new MemoryFiles()
    const store = await openSnapshotStore({
      directory: '/simulated',
      files,
      chunkBytes: 64,
      contentId: contentIds(this.random),
    })
    const node = new ExchangeNode(id as NodeId, this, { files, store, options })
    this.nodes.set(id, node)
    return node
  }

  /** The process is killed, and started again with what it had on disk. */
  async restart(id: number, options: ExchangeNodeOptions = {}): Promise<ExchangeNode> {
    const { files } = this.nodes.get(id)!
    this.nodes.delete(id)
    await this.flush()
    this.#queue = this.#queue.filter(({ to }) => to !== id)
    return this.start(id, { ...options, files })
  }

  send(from: NodeId, to: NodeId, bytes: Uint8Array): boolean {
    if (!this.nodes.has(from)) return false
    if (this.random.next() < this.faults.refused) return false
    this.log.push({ from, to, frame: decodeSnapshotFrame(bytes) })
    if (this.random.next() < this.faults.lost) return true
    const copies = this.random.next() < this.faults.doubled ? 2 : 1
    for (let i = 0; i < copies; i++) {
      const dueTick = this.#ticks + this.random.below(this.faults.delayTicksMax + 1)
      this.#queue.push({ from, to, frame: bytes, dueTick })
    }
    return true
  }

  /** Delivers what has arrived by now, and what follows from it, until nothing does. */
  async settle(): Promise<void> {
    await this.flush()
    for (let rounds = 0; this.#queue.some(({ dueTick }) => dueTick <= this.#ticks); rounds++) {
      invariant(rounds < 100_000, 'exchanges fall silent when nothing happens')
      await this.deliverOne()
    }
  }

  /** The next frame that has arrived. */
  async deliverOne(): Promise<void> {
    const next = this.#queue.findIndex(({ dueTick }) => dueTick <= this.#ticks)
    if (next < 0) return
    const [{ from, to, frame }] = this.#queue.splice(next, 1) as [Envelope]
    const target = this.nodes.get(to)
    if (target === undefined || !this.passes(from, to, decodeSnapshotFrame(frame))) return
    target.exchange.receive(from, frame)
    await this.flush()
  }

  async tick(count = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.#ticks++
      for (const { exchange } of this.nodes.values()) exchange.tick()
      await this.settle()
    }
  }

  /** Ticks until something is so. */
  async until(what: () => boolean, ticksMax = 2000): Promise<void> {
    await this.settle()
    for (let ticks = 0; !what(); ticks++) {
      invariant(ticks < ticksMax, 'what is waited for happens')
      await this.tick()
    }
  }

  /** Everything on its way between two nodes is lost, and they notice. */
  breakLink(a: number, b: number): void {
    const isOfLink = ({ from, to }: Envelope): boolean => (from === a && to === b) || (from === b && to === a)
    this.#queue = this.#queue.filter((envelope) => !isOfLink(envelope))
    this.nodes.get(a)?.exchange.peerDown(b as NodeId)
    this.nodes.get(b)?.exchange.peerDown(a as NodeId)
  }

  /** Lets what needs no frame happen: all of it is in memory, and takes no turn of the event loop. */
  async flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** Data given to the link by a node. Bytes. */
  dataSentBy(id: number): number {
    let sum = 0
    for (const { from, frame } of this.log)
      if (from === id && frame.kind === SnapshotFrameKind.CHUNK) sum += frame.data.length
    return sum
  }
}
