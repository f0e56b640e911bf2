import { delay, messageOf, SeededRandom } from '@sluice/foundation'
import { until } from '../local-cluster.js'
import { type ChaosCluster, COPIES, FRONT_KINDS, MANAGERS } from './chaos-cluster.js'
import type { Fault } from './fault.js'
import type { LinkState } from './link-proxy.js'

/** Undoes a fault. */
type Heal = () => Promise<void>

const CUT: LinkState = { kind: 'cut' }
const SLOW: LinkState = { kind: 'slow', delayMs: 60 }
const LOSSY: LinkState = { kind: 'lossy', stallShare: 0.05, stallMs: 250, breakShare: 0.002 }
// A slow machine breaks no promise: the limits only tell "late" from "never".
const RESTART_LIMIT_MS = 60_000
const LOG_LIMIT_MS = 180_000
const DATABASE_LIMIT_MS = 180_000
const MEMBERSHIP_LIMIT_MS = 300_000
/** Of what is acknowledged and in no database when the power fails. */
const BACKLOG_MS = 400
const COPY_IDS = Array.from({ length: COPIES }, (_, i) => i + 1)
const HOUR_MS = 3_600_000
const LEAP_MS = 60_000

/** Applies faults to a cluster and takes them back. */
export class FaultWorker {
  readonly #cluster: ChaosCluster
  readonly #note: (text: string) => void

  /** @param note told what a fault did, where that is not plain from its name */
  constructor(cluster: ChaosCluster, note: (text: string) => void) {
    this.#cluster = cluster
    this.#note = note
  }

  /** Resolves when the fault holds, with what ends it. */
  async apply(fault: Fault): Promise<Heal> {
    const { kind, targets } = fault
    const cluster = this.#cluster
    switch (kind) {
      case 'kill-one':
      case 'kill-minority':
      case 'kill-majority':
      case 'kill-all':
        await Promise.all(targets.map((id) => cluster.holdBroker(id)))
        return this.#letIn(targets)
      case 'pause-one':
      case 'pause-minority':
      case 'pause-majority':
      case 'pause-all':
        for (const id of targets) cluster.signal('broker', id, 'SIGSTOP')
        return () => {
          for (const id of targets) cluster.signal('broker', id, 'SIGCONT')
          return Promise.resolve()
        }
      case 'rolling-restart':
        return this.#restartInTurn(targets)
      case 'power-loss':
        return this.#losePower(fault)
      case 'kill-write-manager':
        return this.#kill('write-manager', targets)
      case 'kill-read-manager':
        return this.#kill('read-manager', targets)
      case 'kill-load-balancer':
        return this.#kill('load-balancer', targets)
      case 'kill-front':
        await Promise.all(FRONT_KINDS.map((front) => this.#kill(front, COPY_IDS)))
        return () => Promise.resolve()
      case 'pause-write-manager':
        return this.#pause('write-manager', targets[0]!)
      case 'pause-read-manager':
        return this.#pause('read-manager', targets[0]!)
      case 'pause-load-balancer':
        return this.#pause('load-balancer', targets[0]!)
      case 'clock-back':
        return this.#moveClocks(targets, { wallMs: -HOUR_MS })
      case 'clock-ahead':
        return this.#moveClocks(targets, { wallMs: HOUR_MS })
      case 'clock-leap':
        return this.#moveClocks(targets, { wallMs: 0, leapMs: LEAP_MS })
      case 'postgres-stop':
      case 'postgres-stop-all':
        await Promise.all(targets.map((id) => cluster.databases.stopOne(id)))
        return this.#startDatabases(targets)
      case 'postgres-kill':
        await Promise.all(targets.map((id) => cluster.databases.killOne(id)))
        return this.#startDatabases(targets)
      case 'postgres-emptied':
        return this.#empty(targets)
      case 'postgres-restored':
        return this.#restoreDatabase(targets[0]!)
      case 'broker-comes-and-goes':
        return this.#addBroker()
      case 'cut-write-manager':
        return this.#cutManagers([`write-manager-${targets[0]!}`], cluster.brokerIds)
      case 'cut-read-manager':
        return this.#cutManagers([`read-manager-${targets[0]!}`], cluster.brokerIds)
      case 'cut-managers':
        return this.#cutManagers(MANAGERS, targets)
      case 'cut-both':
      case 'cut-half':
        return this.#cut(targets, { outgoing: true, incoming: true })
      case 'cut-outgoing':
        return this.#cut(targets, { outgoing: true, incoming: false })
      case 'cut-incoming':
        return this.#cut(targets, { outgoing: false, incoming: true })
      case 'link-delay':
        return this.#setLinks(SLOW)
      case 'link-loss':
        return this.#setLinks(LOSSY)
      case 'disk-full':
        await cluster.disk?.fill()
        return async () => cluster.disk?.relieve()
      case 'log-truncated':
      case 'log-flipped':
        return this.#damageLog(fault, targets[0]!)
    }
  }

  #letIn(ids: readonly number[]): Heal {
    return async () => {
      for (const id of ids) await this.#cluster.letBrokerIn(id)
    }
  }

  /** Healing is a jump, too: back to the true time. */
  #moveClocks(
    ids: readonly number[],
    shift: { readonly wallMs: number; readonly leapMs?: number },
  ): Promise<Heal> {
    for (const id of ids) this.#cluster.moveClock(id, shift)
    return Promise.resolve(() => {
      for (const id of ids) this.#cluster.moveClock(id, { wallMs: 0 })
      return Promise.resolve()
    })
  }

  #kill(kind: string, ids: readonly number[]): Promise<Heal> {
    for (const id of ids) this.#cluster.signal(kind, id, 'SIGKILL')
    return Promise.resolve(() => Promise.resolve())
  }

  #pause(kind: string, id: number): Promise<Heal> {
    this.#cluster.signal(kind, id, 'SIGSTOP')
    return Promise.resolve(() => {
      this.#cluster.signal(kind, id, 'SIGCONT')
      return Promise.resolve()
    })
  }

  /** The next one goes when the one before serves again, as an operator does it, who stops when it does not. */
  async #restartInTurn(ids: readonly number[]): Promise<Heal> {
    try {
      for (const id of ids) {
        const before = this.#cluster.process('broker', id)?.pid
        this.#cluster.signal('broker', id, 'SIGTERM')
        await until(
          async () => {
            const now = this.#cluster.process('broker', id)?.pid
            return now !== undefined && now !== before && (await this.#cluster.isReady('broker', id))
          },
          RESTART_LIMIT_MS,
          () => `broker ${id} did not come back from a restart: the others are not restarted`,
        )
      }
    } catch (error) {
      this.#note(messageOf(error))
    }
    return () => Promise.resolve()
  }

  async #losePower({ targets, seed }: Fault): Promise<Heal> {
    const cluster = this.#cluster
    const random = new SeededRandom(seed)
    // What the databases have is not lost: for a moment the logs alone have what is acknowledged.
    const release = await Promise.all(targets.map((id) => cluster.databases.holdUp(id)))
    await delay(BACKLOG_MS)
    // Noted before the processes are replaced by ones that begin a journal of their own.
    await Promise.all(targets.map((id) => cluster.holdBroker(id)))
    await Promise.all(release.map((end) => end()))
    let lost = 0
    for (const id of targets) lost += await cluster.log(id).loseUnsynced(cluster.unsynced(id), random)
    this.#note(`the power failure took ${lost} bytes that were written and not synced`)
    return this.#letIn(targets)
  }

  #startDatabases(ids: readonly number[]): Heal {
    return async () => {
      await Promise.all(ids.map((id) => this.#cluster.databases.startOne(id)))
    }
  }

  /** The broker has to notice by itself. Another one may lose its database only when this one is whole again. */
  async #empty(ids: readonly number[]): Promise<Heal> {
    await Promise.all(ids.map((id) => this.#cluster.databases.emptyOne(id)))
    return async () => {
      for (const id of ids) await this.#untilWhole(id)
    }
  }

  /** Backed up when the fault begins, restored when it ends: the broker goes on with it, and has to notice. */
  async #restoreDatabase(id: number): Promise<Heal> {
    const { databases } = this.#cluster
    await databases.backUp(id)
    return async () => {
      await databases.restore(id)
      await this.#untilWhole(id)
    }
  }

  async #untilWhole(id: number): Promise<void> {
    await until(
      () => this.#cluster.hasWholeDatabase(id),
      DATABASE_LIMIT_MS,
      () => `the database of broker ${id} is not made whole`,
    )
  }

  /** Beside another fault it may be added only when that one is over, and it is drained then. */
  #addBroker(): Promise<Heal> {
    const cluster = this.#cluster
    const adding = cluster.addBroker(MEMBERSHIP_LIMIT_MS)
    adding.catch(() => undefined)
    return Promise.resolve(async () => {
      const added = await adding
      this.#note(`broker ${added.id} has come, and goes`)
      await cluster.removeBroker(added, MEMBERSHIP_LIMIT_MS)
    })
  }

  #cutManagers(managers: readonly string[], brokerIds: readonly number[]): Promise<Heal> {
    const { links } = this.#cluster
    for (const manager of managers)
      for (const id of brokerIds) {
        links.set(manager, id, CUT)
        links.set(id, manager, CUT)
      }
    return Promise.resolve(() => {
      links.openAll()
      return Promise.resolve()
    })
  }

  #cut(
    ids: readonly number[],
    ways: { readonly outgoing: boolean; readonly incoming: boolean },
  ): Promise<Heal> {
    const { links, brokerIds } = this.#cluster
    for (const id of ids)
      for (const other of brokerIds) {
        if (ids.includes(other)) continue
        if (ways.outgoing) links.set(id, other, CUT)
        if (ways.incoming) links.set(other, id, CUT)
      }
    return Promise.resolve(() => {
      links.openAll()
      return Promise.resolve()
    })
  }

  #setLinks(state: LinkState): Promise<Heal> {
    const { links, brokerIds } = this.#cluster
    for (const from of brokerIds) for (const to of brokerIds) if (from !== to) links.set(from, to, state)
    return Promise.resolve(() => {
      links.openAll()
      return Promise.resolve()
    })
  }

  /**
   * The broker sets the damaged log aside by itself. Another one may be damaged only when this one knows again
   * what it may have forgotten: else two of three would have.
   */
  async #damageLog({ kind, seed }: Fault, id: number): Promise<Heal> {
    const cluster = this.#cluster
    const random = new SeededRandom(seed)
    await cluster.holdBroker(id)
    const log = cluster.log(id)
    const done = kind === 'log-truncated' ? await log.truncate(random) : await log.flip(random)
    this.#note(`broker ${id}: ${done}`)
    return async () => {
      await cluster.letBrokerIn(id)
      await until(
        () => cluster.hasWholeLog(id),
        LOG_LIMIT_MS,
        () => `broker ${id} does not take part again after ${done}`,
      )
    }
  }
}
