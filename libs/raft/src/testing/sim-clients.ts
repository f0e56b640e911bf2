import type { Call, CallKind } from './call.js'
import type { Cluster } from './cluster.js'
import type { DecisionOf } from './decision.js'
import type { RunCounts } from './run-counts.js'
import type { SimReplica } from './sim-replica.js'

/** Those who use the groups. Each call is made once: one that may have been done is not tried again. */
export class SimClients {
  readonly #cluster: Cluster
  readonly #counts: RunCounts
  #nextSerial = 1
  readonly #lastSerials = new Map<string, number>()

  constructor(cluster: Cluster, counts: RunCounts) {
    this.#cluster = cluster
    this.#counts = counts
  }

  write({ group, node, key, count, size }: Omit<DecisionOf<'write'>, 'atMs' | 'kind'>): readonly Call[] {
    const calls = Array.from({ length: count }, () => this.#call(group, 'write', key))
    this.#make({ group, node }, calls, (replica) => replica.propose(calls, size))
    return calls
  }

  /** Expects what was written last, whether or not that was done. */
  swap({ group, node, key }: DecisionOf<'swap'>): void {
    const calls = [this.#call(group, 'swap', key)]
    this.#make({ group, node }, calls, (replica) => replica.propose(calls, 0))
  }

  read({ group, node, key }: Omit<DecisionOf<'read'>, 'atMs' | 'kind'>): Call {
    const call = this.#call(group, 'read', key)
    this.#make({ group, node }, [call], (replica) => replica.read(call))
    return call
  }

  #call(group: number, kind: CallKind, key: number): Call {
    const register = `${group}/${key}`
    const serial = this.#nextSerial++
    const expected = kind === 'swap' ? (this.#lastSerials.get(register) ?? 0) : 0
    if (kind !== 'read') this.#lastSerials.set(register, serial)
    const invokedAt = this.#counts.events
    const unanswered = { outcome: 'pending', answeredAt: 0, previous: 0, index: 0, applied: 0 } as const
    return { serial, kind, key, expected, invokedAt, ...unanswered }
  }

  #make(
    where: { readonly group: number; readonly node: number },
    calls: readonly Call[],
    run: (replica: SimReplica) => void,
  ): void {
    const incarnation = this.#cluster.incarnation(where.group)
    const target = this.#cluster.target(where)
    for (const call of calls) incarnation.checks.invoked(call)
    // It never got anywhere.
    const refuse = (): void => {
      for (const call of calls) {
        call.outcome = 'refused'
        call.answeredAt = this.#counts.events
        this.#counts.refused++
        incarnation.checks.answered(call)
      }
    }
    if (target === undefined) refuse()
    else
      target.enter(
        () => {
          const replica = target.replica(incarnation.id)
          if (replica?.incarnation === incarnation) run(replica)
          else refuse()
        },
        { dropped: refuse },
      )
  }
}
