import { BrokerError } from '@sluice/domain'

/**
 * What can happen to a cluster. Names are public API: never renamed, never reused.
 * Those of producers and consumers, and those of moves, are kept apart, so that many of them cannot push out the others.
 */
export const AUDIT_KINDS = {
  'cluster-founded': { of: 'cluster' },
  'settings-changed': { of: 'cluster' },
  'feature-level-raised': { of: 'cluster' },
  'broker-added': { of: 'cluster' },
  'broker-changed': { of: 'cluster' },
  'broker-state-changed': { of: 'cluster' },
  'broker-removed': { of: 'cluster' },
  'plan-started': { of: 'cluster' },
  'plan-cancelled': { of: 'cluster' },
  'recovery-begun': { of: 'cluster' },
  'broker-lost': { of: 'cluster' },
  'partition-recovered': { of: 'cluster' },
  'recovery-ended': { of: 'cluster' },
  'plan-ended': { of: 'cluster' },
  'move-started': { of: 'moves' },
  'replicas-moved': { of: 'moves' },
  'move-undoing': { of: 'moves' },
  'move-undone': { of: 'moves' },
  'move-failed': { of: 'moves' },
  'move-skipped': { of: 'moves' },
  'replica-dropped': { of: 'moves' },
  'broker-dead': { of: 'cluster' },
  'broker-alive': { of: 'cluster' },
  'topic-created': { of: 'cluster' },
  'topic-changed': { of: 'cluster' },
  'topic-deleted': { of: 'cluster' },
  'partition-added': { of: 'cluster' },
  'partition-closed': { of: 'cluster' },
  'partition-removed': { of: 'cluster' },
  'producer-dead': { of: 'clients' },
  'producer-alive': { of: 'clients' },
  'consumer-dead': { of: 'clients' },
  'consumer-alive': { of: 'clients' },
} as const satisfies Record<string, { of: 'cluster' | 'moves' | 'clients' }>

export type AuditKind = keyof typeof AUDIT_KINDS

/** Something that changed, once and for all. */
export interface AuditEvent {
  /** From 1, growing by one with each event of the cluster; never used again. */
  readonly id: number
  /** Milliseconds since 1970. */
  readonly at: number
  readonly kind: AuditKind
  /** What it happened to: `broker/3`, `topic/orders`, `partition/orders.2`, `producer/7`, `plan/4`, `cluster`. */
  readonly subject: string
  readonly reason: string
  /** Who asked for it: a call of the API, or a broker; absent where nobody did. */
  readonly by?: string
}

/** Kept of each of the three sorts of events; the oldest go first. */
const EVENTS_MAX = 2000

export interface AuditSnapshot {
  readonly nextId: number
  readonly events: readonly AuditEvent[]
}

/** The newest events of the cluster: part of the replicated state, so the same on every broker. */
export class AuditTrail {
  #nextId = 1
  readonly #events = {
    cluster: new Map<number, AuditEvent>(),
    moves: new Map<number, AuditEvent>(),
    clients: new Map<number, AuditEvent>(),
  }

  record(event: Omit<AuditEvent, 'id'>): AuditEvent {
    const recorded = { id: this.#nextId++, ...event }
    this.#keep(recorded)
    return recorded
  }

  /** In the order of their ids. */
  all(): readonly AuditEvent[] {
    const { cluster, moves, clients } = this.#events
    return [...cluster.values(), ...moves.values(), ...clients.values()].sort((a, b) => a.id - b.id)
  }

  toJSON(): AuditSnapshot {
    return { nextId: this.#nextId, events: this.all() }
  }

  /** Into an empty trail. @throws BrokerError UNSUPPORTED_VERSION for what only a newer version can have written */
  load({ nextId, events }: AuditSnapshot): void {
    this.#nextId = nextId
    for (const event of events) {
      if (!Object.hasOwn(AUDIT_KINDS, event.kind))
        throw new BrokerError('UNSUPPORTED_VERSION', `an audit event of the kind ${event.kind}`, {
          field: 'audit',
        })
      this.#keep(event)
    }
  }

  #keep(event: AuditEvent): void {
    const events = this.#events[AUDIT_KINDS[event.kind].of]
    events.set(event.id, event)
    // A map gives its entries in the order they came, so the first is the oldest.
    if (events.size > EVENTS_MAX) events.delete(events.keys().next().value!)
  }
}
