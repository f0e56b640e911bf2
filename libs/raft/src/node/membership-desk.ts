import { unreachable } from '@sluice/foundation'
import { type ConfigurationChange, membersOf } from '../core/configuration.js'
import type { Configuration, LogIndex, NodeId, Term } from '../core/types.js'
import type { RaftGroup } from '../host/raft-group.js'
import { decodeAddressBook, encodeAddressBook } from './address-book.js'
import { CommandFailedError } from './errors.js'
import { addressesById, type NodeAddress } from './node-address.js'

export type ChangeOutcome =
  | { readonly kind: 'done'; readonly index: LogIndex }
  /** This node does not lead; nothing happened. */
  | { readonly kind: 'not-leader'; readonly leader: NodeId | 0 }
  | { readonly kind: 'failed'; readonly error: CommandFailedError }

interface Waiting {
  readonly index: LogIndex
  readonly term: Term
  readonly done: (outcome: ChangeOutcome) => void
}

/** Who takes part in a group, and the changes of it that this node, while it leads, was asked for. */
export class MembershipDesk {
  readonly #group: RaftGroup
  /** Of the group's first members, which no log entry names. */
  readonly #first: readonly NodeAddress[]
  #waiting: Waiting[] = []

  constructor(group: RaftGroup, first: readonly NodeAddress[]) {
    this.#group = group
    this.#first = first
  }

  /** Members and where they listen; an observer has no address. */
  members(configuration: Configuration = this.#group.configuration): Map<NodeId, NodeAddress | undefined> {
    const known = this.addresses(configuration)
    return new Map(membersOf(configuration).map((id) => [id, known.get(id)]))
  }

  /** Addresses of the members, and of those who are to be members soon. */
  addresses(configuration: Configuration = this.#group.configuration): Map<NodeId, NodeAddress> {
    return addressesById([...this.#first, ...decodeAddressBook(configuration.context).values()])
  }

  isObserver(id: NodeId): boolean {
    const { configuration } = this.#group
    return configuration.learners.includes(id) && !this.addresses(configuration).has(id)
  }

  /**
   * Takes a node in as a learner, which the leader makes a voter once it has caught up.
   * `done` is told when the configuration with the learner is committed.
   */
  add(address: NodeAddress, done: (outcome: ChangeOutcome) => void): void {
    const { configuration } = this.#group
    if (membersOf(configuration).includes(address.id)) {
      done(denied(`${address.text} is a member already`))
      return
    }
    const { voters, learners, promotable } = configuration
    this.#change(
      {
        voters,
        learners: [...learners, address.id],
        promotable: [...promotable, address.id],
        context: this.#bookWith(address),
      },
      done,
    )
  }

  /** `done` is told when the configuration without the node is committed. */
  remove(address: NodeAddress, done: (outcome: ChangeOutcome) => void): void {
    const { configuration } = this.#group
    if (!membersOf(configuration).includes(address.id)) {
      done(denied(`${address.text} is no member`))
      return
    }
    const book = this.#presentBook().filter(({ id }) => id !== address.id)
    this.#change({ ...without(configuration, address.id), context: encodeAddressBook(book) }, done)
  }

  /** Lets a node without an address receive the log. */
  addObserver(id: NodeId, done: (outcome: ChangeOutcome) => void): void {
    const { voters, learners, promotable } = this.#group.configuration
    if (learners.includes(id)) {
      done({ kind: 'done', index: this.#group.applied })
      return
    }
    this.#change({ voters, learners: [...learners, id], promotable }, done)
  }

  removeObserver(id: NodeId, done: (outcome: ChangeOutcome) => void): void {
    this.#change(without(this.#group.configuration, id), done)
  }

  /** An entry is applied here: what was waited for at its place is decided. */
  applied(index: LogIndex, term: Term): void {
    if (this.#waiting.length === 0) return
    const decided = this.#waiting.filter((waiting) => waiting.index <= index || waiting.term < term)
    this.#waiting = this.#waiting.filter((waiting) => !decided.includes(waiting))
    for (const waiting of decided)
      waiting.done(
        waiting.index === index && waiting.term === term
          ? { kind: 'done', index }
          : { kind: 'failed', error: new CommandFailedError('DISCARDED', 'no') },
      )
  }

  /** The node ends, or jumped over the log: what waits cannot be decided any more. */
  abandon(reason: 'DESTROYED' | 'LEADER_CHANGED'): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { done } of waiting) done({ kind: 'failed', error: new CommandFailedError(reason, 'unknown') })
  }

  #change(change: ConfigurationChange, done: (outcome: ChangeOutcome) => void): void {
    const outcome = this.#group.changeConfiguration(change)
    switch (outcome.kind) {
      case 'accepted':
        this.#waiting.push({ index: outcome.firstIndex, term: outcome.term, done })
        return
      case 'not-leader':
        done(outcome)
        return
      case 'change-pending':
        done(denied('an earlier change, or the first entry of this leader, is not committed yet'))
        return
      case 'transferring':
        done(denied('leadership is being handed over'))
        return
      case 'unchanged':
        done(denied('nothing would change'))
        return
      case 'invalid':
        done(denied(outcome.reason))
        return
      default:
        unreachable(outcome)
    }
  }

  /** Addresses of those who are members now. */
  #presentBook(): NodeAddress[] {
    return [...this.members().values()].filter((address) => address !== undefined)
  }

  #bookWith(address: NodeAddress): Uint8Array {
    return encodeAddressBook([...this.#presentBook(), address])
  }
}

function without({ voters, learners, promotable }: Configuration, gone: NodeId): ConfigurationChange {
  const others = (ids: readonly NodeId[]): NodeId[] => ids.filter((id) => id !== gone)
  return { voters: others(voters), learners: others(learners), promotable: others(promotable) }
}

function denied(detail: string): ChangeOutcome {
  return { kind: 'failed', error: new CommandFailedError('REQUEST_DENIED', 'no', detail) }
}
