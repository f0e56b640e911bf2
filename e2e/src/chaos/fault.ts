/** What a fault breaks. Faults of one family never run together: the second would undo or hide the first. */
export type FaultFamily = 'broker' | 'manager' | 'database' | 'link' | 'disk' | 'log' | 'clock' | 'membership'

/** How many brokers a fault takes. A minority may always be lost, a majority never without refusals. */
export type FaultScope = 'one' | 'minority' | 'majority' | 'all'

interface FaultKindFacts {
  readonly family: FaultFamily
  /** Absent for faults of managers, and for those that choose their own brokers. */
  readonly scope?: FaultScope
  readonly does: string
}

/** Every fault the suite knows. */
const FAULT_KINDS = {
  'kill-one': { family: 'broker', scope: 'one', does: 'kill -9 of a broker' },
  'kill-minority': { family: 'broker', scope: 'minority', does: 'kill -9 of a minority of the brokers' },
  'kill-majority': { family: 'broker', scope: 'majority', does: 'kill -9 of a majority of the brokers' },
  'kill-all': { family: 'broker', scope: 'all', does: 'kill -9 of all brokers at once' },
  'pause-one': { family: 'broker', scope: 'one', does: 'SIGSTOP of a broker' },
  'pause-minority': { family: 'broker', scope: 'minority', does: 'SIGSTOP of a minority of the brokers' },
  'pause-majority': { family: 'broker', scope: 'majority', does: 'SIGSTOP of a majority of the brokers' },
  'pause-all': { family: 'broker', scope: 'all', does: 'SIGSTOP of all brokers' },
  'rolling-restart': { family: 'broker', does: 'SIGTERM of one broker after the other' },
  'power-loss': {
    family: 'broker',
    scope: 'all',
    does: 'kill -9 of all brokers, and what their logs had not synced is gone',
  },
  'kill-write-manager': { family: 'manager', does: 'kill -9 of a write manager' },
  'kill-read-manager': { family: 'manager', does: 'kill -9 of a read manager' },
  'kill-load-balancer': { family: 'manager', does: 'kill -9 of a load balancer' },
  'kill-front': { family: 'manager', does: 'kill -9 of all managers and load balancers at once' },
  'pause-write-manager': { family: 'manager', does: 'SIGSTOP of a write manager' },
  'pause-read-manager': { family: 'manager', does: 'SIGSTOP of a read manager' },
  'pause-load-balancer': { family: 'manager', does: 'SIGSTOP of a load balancer' },
  'postgres-stop': { family: 'database', scope: 'minority', does: 'PostgreSQL of a minority stopped' },
  'postgres-kill': { family: 'database', scope: 'one', does: 'kill -9 of a broker’s PostgreSQL' },
  'postgres-stop-all': { family: 'database', scope: 'all', does: 'PostgreSQL of every broker stopped' },
  'postgres-emptied': { family: 'database', scope: 'one', does: 'everything in a broker’s database is gone' },
  'postgres-restored': {
    family: 'database',
    scope: 'one',
    does: 'a broker’s database comes back from a backup that is some seconds old',
  },
  'cut-both': { family: 'link', scope: 'one', does: 'a broker cut off from the others, both ways' },
  'cut-outgoing': { family: 'link', scope: 'one', does: 'the others do not hear a broker, it hears them' },
  'cut-incoming': { family: 'link', scope: 'one', does: 'a broker does not hear the others, they hear it' },
  'cut-half': {
    family: 'link',
    scope: 'minority',
    does: 'the minority and the majority cut from each other',
  },
  'cut-write-manager': { family: 'link', does: 'a write manager cut off from all brokers' },
  'cut-read-manager': { family: 'link', does: 'a read manager cut off from all brokers' },
  'cut-managers': { family: 'link', scope: 'one', does: 'all managers cut off from one broker' },
  'link-delay': { family: 'link', scope: 'all', does: 'every link between brokers 60 ms slower' },
  'link-loss': { family: 'link', scope: 'all', does: 'links between brokers stall and break at random' },
  'disk-full': { family: 'disk', does: 'no space left for one broker' },
  'log-truncated': { family: 'log', scope: 'one', does: 'the end of a stopped broker’s log cut off' },
  'clock-back': { family: 'clock', scope: 'minority', does: 'the wall clock of a minority an hour back' },
  'clock-ahead': { family: 'clock', scope: 'minority', does: 'the wall clock of a minority an hour ahead' },
  'clock-leap': {
    family: 'clock',
    scope: 'one',
    does: 'the monotonic clock of a broker a minute ahead, as after its machine was suspended',
  },
  'broker-comes-and-goes': {
    family: 'membership',
    does: 'a broker is added, and then drained and removed',
  },
  'log-flipped': { family: 'log', scope: 'one', does: 'a bit of a stopped broker’s log flipped' },
} as const satisfies Record<string, FaultKindFacts>

export type FaultKind = keyof typeof FAULT_KINDS

export const ALL_FAULT_KINDS = Object.keys(FAULT_KINDS) as readonly FaultKind[]

/** One fault as it is to be applied. */
export interface Fault {
  readonly kind: FaultKind
  /** The brokers it is done to, in order; for a manager its number from 1. */
  readonly targets: readonly number[]
  /** For what the fault decides by chance while it is applied. */
  readonly seed: number
}

export function factsOf(kind: FaultKind): FaultKindFacts {
  return FAULT_KINDS[kind]
}

export function faultText({ kind, targets }: Fault): string {
  return targets.length === 0 ? kind : `${kind} ${targets.join(',')}`
}

/**
 * Kinds by name, or by what they begin with: `kill` is all that begin so, `link` is a whole family.
 * @throws Error that names what is not known
 */
export function parseFaultKinds(text: string): readonly FaultKind[] {
  const kinds = new Set<FaultKind>()
  for (const word of text.split(',').map((part) => part.trim())) {
    const exact = ALL_FAULT_KINDS.filter((kind) => kind === word)
    const found =
      exact.length > 0
        ? exact
        : ALL_FAULT_KINDS.filter((kind) => factsOf(kind).family === word || kind.startsWith(`${word}-`))
    if (found.length === 0)
      throw new Error(`no fault is called ${word}; known: ${ALL_FAULT_KINDS.join(', ')}`)
    for (const kind of found) kinds.add(kind)
  }
  return [...kinds]
}
