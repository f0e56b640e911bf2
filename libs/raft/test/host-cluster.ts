import { invariant, SeededRandom } from '@sluice/foundation'
import { isMessageFrame } from '../src/host/codec.js'
import type { FramePriority } from '../src/host/outbox.js'
import type { RaftGroup } from '../src/host/raft-group.js'
import { type GroupSettings, RaftHost, type RaftTimings } from '../src/host/raft-host.js'
import type {
  GroupState,
  SnapshotCarrier,
  SnapshotSource,
  SnapshotTransfer,
  StateMachine,
} from '../src/host/state-machine.js'
import { type Entry, EntryKind, type NodeId, type RaftGroupId, type SnapshotMeta } from '../src/core/types.js'
import type { LogStore } from '../src/storage/log-store.js'
import { VolatileStore } from '../src/storage/volatile-store.js'

export const GROUP = 1 as RaftGroupId
const UUID = new Uint8Array(16).fill(7)

export function idOf(value: number): NodeId {
  return value as NodeId
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Remembers the texts of all commands. Its snapshots are those texts. */
export class TextMachine implements StateMachine {
  texts: string[] = []
  applied = 0
  appliedTerm = 0
  readonly states: GroupState[] = []
  group: RaftGroup | undefined
  restoredCount = 0

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      invariant(entry.index === this.applied + 1, `entry ${entry.index} follows ${this.applied}`)
      this.applied = entry.index
      this.appliedTerm = entry.term
      if (entry.kind === EntryKind.COMMAND) this.texts.push(new TextDecoder().decode(entry.data))
    }
  }

  stateChanged(state: GroupState): void {
    this.states.push(state)
  }

  snapshotMeta(): SnapshotMeta {
    return {
      index: this.applied,
      term: this.appliedTerm,
      configuration: this.group!.configurationAt(this.applied),
    }
  }

  openSnapshot(): Promise<SnapshotSource> {
    const bytes = bytesOf(JSON.stringify(this.texts))
    return Promise.resolve({
      meta: this.snapshotMeta(),
      sizeBytes: bytes.length,
      read: (offset, lengthMax) => Promise.resolve(bytes.subarray(offset, offset + lengthMax)),
      close: () => Promise.resolve(),
    })
  }

  async restore(source: SnapshotSource): Promise<void> {
    const bytes = await source.read(0, source.sizeBytes)
    this.texts = JSON.parse(new TextDecoder().decode(bytes)) as string[]
    this.applied = source.meta.index
    this.appliedTerm = source.meta.term
    this.restoredCount++
    await source.close()
  }
}

interface Node {
  readonly host: RaftHost
  readonly machine: TextMachine
  readonly store: LogStore
}

/** Hosts whose frames and turns happen when the test says so. */
export class HostCluster {
  readonly nodes = new Map<number, Node>()
  readonly failures: Error[] = []
  /** Frames since the last `takeFrames`, delivered or not. */
  frames: {
    readonly from: number
    readonly to: number
    readonly frame: Uint8Array
    readonly priority: FramePriority
  }[] = []
  readonly #timings: Partial<RaftTimings>
  /** Snapshots that are sent do not arrive. */
  losesSnapshots = false
  readonly #cut = new Set<string>()
  #queue: (() => void)[] = []

  constructor(timings: Partial<RaftTimings> = {}) {
    this.#timings = timings
  }

  start(
    id: number,
    options: {
      readonly voters?: readonly number[]
      readonly store?: LogStore
      readonly machine?: TextMachine
      readonly snapshot?: SnapshotMeta
      readonly uuid?: Uint8Array
      readonly keepsCommit?: boolean
    } = {},
  ): Node {
    const { store = new VolatileStore(), machine = new TextMachine() } = options
    const host: RaftHost = new RaftHost({
      nodeId: idOf(id),
      store,
      transport: {
        send: (to, frame, priority) => {
          this.frames.push({ from: id, to, frame, priority })
          this.#queue.push(() => {
            const target = this.nodes.get(to)
            if (target !== undefined && !this.#cut.has(`${id}>${to}`)) target.host.receive(idOf(id), frame)
          })
          return true
        },
      },
      random: new SeededRandom(id),
      timings: this.#timings,
      scheduler: { soon: (run) => void this.#queue.push(run), every: () => () => undefined },
      snapshots: this.#carrier(id),
      onFatal: (error) => this.failures.push(error),
    })
    const settings: GroupSettings = {
      id: GROUP,
      uuid: options.uuid ?? UUID,
      name: 'texts',
      voters: (options.voters ?? [1, 2, 3]).map(idOf),
      applied: machine.applied,
      keepsCommit: options.keepsCommit ?? false,
      machine,
      ...(options.snapshot === undefined ? {} : { snapshot: options.snapshot }),
    }
    machine.group = host.openGroup(settings)
    const node = { host, machine, store }
    this.nodes.set(id, node)
    return node
  }

  stop(id: number): void {
    this.nodes.get(id)?.host.stop()
    this.nodes.delete(id)
  }

  node(id: number): Node {
    return this.nodes.get(id)!
  }

  group(id: number): RaftGroup {
    return this.node(id).host.group(GROUP)!
  }

  get leaders(): number[] {
    return [...this.nodes.keys()].filter((id) => this.group(id).isLeader)
  }

  isolate(id: number): void {
    for (const other of this.nodes.keys()) {
      this.#cut.add(`${id}>${other}`)
      this.#cut.add(`${other}>${id}`)
    }
  }

  heal(): void {
    this.#cut.clear()
  }

  takeFrames(): HostCluster['frames'] {
    const frames = this.frames
    this.frames = []
    return frames
  }

  /** Everything that follows from what happened so far. */
  async settle(): Promise<void> {
    for (let quiet = 0, rounds = 0; quiet < 5; rounds++) {
      invariant(rounds < 10_000, 'hosts fall silent when nothing happens')
      await Promise.resolve()
      if (this.#queue.length === 0) {
        quiet++
        continue
      }
      quiet = 0
      for (const run of this.#queue.splice(0)) run()
    }
  }

  async tick(count = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      for (const { host } of this.nodes.values()) host.tick()
      await this.settle()
    }
  }

  async elect(id: number): Promise<RaftGroup> {
    this.group(id).campaign()
    await this.settle()
    return this.group(id)
  }

  async propose(id: number, ...texts: readonly string[]): Promise<void> {
    const outcome = this.group(id).propose(texts.map(bytesOf))
    invariant(outcome.kind === 'accepted', `the proposal is accepted, not ${outcome.kind}`)
    await this.settle()
  }

  texts(id: number): readonly string[] {
    return this.node(id).machine.texts
  }

  /** Snapshots arrive whole, unless the link is cut: then the sender hears of the failure. */
  #carrier(from: number): SnapshotCarrier {
    return {
      offer: ({ group, peer }: SnapshotTransfer, source) => {
        this.#queue.push(() => {
          const target = this.nodes.get(peer)
          const arrives = target !== undefined && !this.losesSnapshots && !this.#cut.has(`${from}>${peer}`)
          if (arrives) target.host.snapshotReceived(group as RaftGroupId, source)
          this.nodes.get(from)?.host.snapshotEnded(group as RaftGroupId, peer)
        })
      },
      receive: (_from, frame) => invariant(!isMessageFrame(frame), 'messages are the host’s'),
      tick: () => undefined,
      peerDown: () => undefined,
      cancel: () => undefined,
      close: () => Promise.resolve(),
    }
  }
}
