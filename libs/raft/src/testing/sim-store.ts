import { invariant, type Random } from '@sluice/foundation'
import type { LogIndex, RaftGroupId } from '../core/types.js'
import type { LogStore, LogWrite } from '../storage/log-store.js'
import type { DiskTimes } from './conditions.js'
import type { Sabotage } from './sabotage.js'
import { DurableLog, SimLog, type SlowRead } from './sim-log.js'

/** One thing that a store was told, as it will be on the disk. */
type Order =
  | {
      readonly kind: 'append'
      readonly parts: readonly { readonly log: SimLog; readonly write: LogWrite }[]
      readonly done: (() => void) | undefined
    }
  | { readonly kind: 'compact'; readonly log: SimLog; readonly index: LogIndex }
  | { readonly kind: 'remove'; readonly log: SimLog }

export interface SimStoreParts {
  readonly random: Random
  readonly times: () => DiskTimes
  readonly now: () => number
  readonly later: (delayMs: number, run: () => void) => void
  /** Tells the process that something is durable, as soon as it listens; never one that is gone. */
  readonly tell: (run: () => void) => void
  readonly cachedEntries: number
  readonly missed: () => void
  readonly slowRead: SlowRead
  readonly sabotage: Sabotage | undefined
}

/**
 * A node's disk with the logs of all its groups: writes are visible at once and synced later, one sync at
 * a time for all that came before it, as the write-ahead log does it. A crash keeps some prefix of what
 * was not synced, each call of it whole or not at all.
 */
export class SimStore implements LogStore {
  readonly #parts: SimStoreParts
  #logs = new Map<RaftGroupId, SimLog>()
  readonly #durable = new Map<RaftGroupId, DurableLog>()
  /** What was synced of each group when the disk lost it, until the group has recovered. */
  readonly #lost = new Map<RaftGroupId, DurableLog>()
  #orders: Order[] = []
  /** Of the orders, those that the sync under way covers; 0 when none is. */
  #syncing = 0
  #syncingSinceMs = 0
  #stalledUntilMs = 0
  /** Counts crashes: what was under way before one never ends. */
  #epoch = 0

  constructor(parts: SimStoreParts) {
    this.#parts = parts
  }

  get stalledMs(): number {
    return this.#syncing === 0 ? 0 : this.#parts.now() - this.#syncingSinceMs
  }

  group(id: RaftGroupId): SimLog | undefined {
    return this.#logs.get(id)
  }

  createGroup(id: RaftGroupId, uuid: Uint8Array, name: string): SimLog {
    invariant(!this.#logs.has(id), `group ${id} is new`)
    const log = new SimLog(id, { uuid: Uint8Array.from(uuid), name }, this.#parts)
    this.#logs.set(id, log)
    return log
  }

  append(writes: readonly LogWrite[], done?: () => void): void {
    const parts = writes.map((write) => ({ log: this.#known(write.group), write }))
    for (const { log, write } of parts) log.write(write)
    const order: Order = { kind: 'append', parts, done }
    this.#orders.push(order)
    if (done === undefined) return
    if (this.#parts.sabotage === 'reports-writes-before-sync') this.#parts.tell(done)
    this.#sync()
  }

  compact(id: RaftGroupId, index: LogIndex): void {
    const log = this.#known(id)
    log.memory.compact(index)
    this.#orders.push({ kind: 'compact', log, index })
  }

  removeGroup(id: RaftGroupId): void {
    this.#orders.push({ kind: 'remove', log: this.#known(id) })
    this.#logs.delete(id)
  }

  /** What is synced of a group of this incarnation. */
  durable(id: RaftGroupId, uuid: Uint8Array): DurableLog | undefined {
    const durable = this.#durable.get(id)
    return durable !== undefined && sameBytes(durable.uuid, uuid) ? durable : undefined
  }

  /** What was synced of a group of this incarnation, and is lost. */
  lost(id: RaftGroupId, uuid: Uint8Array): DurableLog | undefined {
    const lost = this.#lost.get(id)
    return lost !== undefined && sameBytes(lost.uuid, uuid) ? lost : undefined
  }

  /** Nothing is left on the disk. Only when the process is down. */
  lose(): void {
    for (const [id, durable] of this.#durable) this.#lost.set(id, durable)
    this.#durable.clear()
    this.#logs = new Map()
  }

  /** What the group had lost is there again, or the group is not. */
  recovered(id: RaftGroupId): void {
    this.#lost.delete(id)
  }

  /** No sync ends before this time. */
  stall(untilMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, untilMs)
  }

  unstall(): void {
    this.#stalledUntilMs = 0
  }

  /** @param kept the part of what was not synced that survives, from 0 to 1 */
  crash(kept: number): void {
    this.#epoch++
    this.#syncing = 0
    this.#stalledUntilMs = 0
    const count = Math.floor(kept * (this.#orders.length + 1))
    for (const order of this.#orders.slice(0, count)) this.#promote(order)
    this.#orders = []
    this.#logs = new Map()
    const forgets = this.#parts.sabotage === 'forgets-votes'
    for (const [id, durable] of this.#durable) {
      const log = new SimLog(id, durable, this.#parts)
      if (forgets) log.hardState = { ...log.hardState, vote: 0 }
      this.#logs.set(id, log)
    }
  }

  #known(id: RaftGroupId): SimLog {
    const log = this.#logs.get(id)
    invariant(log !== undefined, `the store has a group ${id}`)
    return log
  }

  /** What nobody waits for lies until something is wanted. */
  #sync(): void {
    const isWanted = this.#orders.some((order) => order.kind === 'append' && order.done !== undefined)
    if (this.#syncing > 0 || !isWanted) return
    const { random, now, later } = this.#parts
    const { syncMs, slowPart } = this.#parts.times()
    this.#syncing = this.#orders.length
    this.#syncingSinceMs = now()
    const slow = random.next() < slowPart
    later(random.next() * syncMs * (slow ? 50 : 1), this.#synced(this.#epoch))
  }

  #synced(epoch: number): () => void {
    const synced = (): void => {
      if (epoch !== this.#epoch) return
      const { now, later, tell, sabotage } = this.#parts
      if (now() < this.#stalledUntilMs) {
        later(this.#stalledUntilMs - now(), synced)
        return
      }
      const orders = this.#orders.splice(0, this.#syncing)
      this.#syncing = 0
      for (const order of orders) this.#promote(order)
      this.#sync()
      if (sabotage === 'reports-writes-before-sync') return
      tell(() => {
        for (const order of orders) if (order.kind === 'append') order.done?.()
      })
    }
    return synced
  }

  #promote(order: Order): void {
    switch (order.kind) {
      case 'append':
        for (const { log, write } of order.parts) {
          const durable = this.#durableOf(log)
          durable.log.write(write)
          durable.hardState = write.hardState ?? durable.hardState
        }
        break
      case 'compact':
        this.#durableOf(order.log).log.compact(order.index)
        break
      default:
        if (this.durable(order.log.id, order.log.uuid) !== undefined) this.#durable.delete(order.log.id)
    }
  }

  #durableOf(log: SimLog): DurableLog {
    const known = this.durable(log.id, log.uuid)
    if (known !== undefined) return known
    const durable = new DurableLog(log)
    this.#durable.set(log.id, durable)
    return durable
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
