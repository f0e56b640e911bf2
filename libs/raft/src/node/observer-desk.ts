import type { Clock } from '@sluice/foundation'
import { membersOf } from '../core/configuration.js'
import type { NodeId } from '../core/types.js'
import type { NodeGroup } from './node-group.js'
import { encodeNodeRequest, NodeRequestKind } from './node-request.js'
import type { NodeTransport } from './node-transport.js'

export interface ObserverDeskParts {
  readonly group: NodeGroup
  readonly transport: NodeTransport
  readonly clock: Clock
  readonly self: NodeId
  /** This node is an observer, and whom it may ask. */
  readonly isObserver: boolean
  readonly contacts: readonly NodeId[]
  /** How long an observer may be gone, milliseconds. */
  readonly goneMs: number
}

const NO_BODY = new Uint8Array(0)
const TAKEN = Uint8Array.of(0)
const NOT_TAKEN = Uint8Array.of(1)
const ASK_TIMEOUT_MS = 5000

/**
 * Observers of a group, from both sides. An observer asks one after the other whom it is connected to;
 * the leader makes it a learner, and takes it out again when it has been gone for a while, so that the
 * group keeps no log for strangers that never come back.
 */
export class ObserverDesk {
  readonly #parts: ObserverDeskParts
  /** Since when this leader misses an observer, monotonic. */
  readonly #missedSince = new Map<NodeId, number>()
  #isBusy = false
  #nextContact = 0

  constructor(parts: ObserverDeskParts) {
    this.#parts = parts
  }

  /** A tick is over. */
  tick(): void {
    const { isObserver, group } = this.#parts
    if (this.#isBusy) return
    if (isObserver) this.#askIn()
    else if (group.group.isLeader) this.#removeGone()
    else this.#missedSince.clear()
  }

  /** An observer asks to receive the log. */
  answer(observer: NodeId): Promise<Uint8Array> {
    return new Promise((resolve) => {
      this.#parts.group.desk.addObserver(observer, ({ kind }) => resolve(kind === 'done' ? TAKEN : NOT_TAKEN))
    })
  }

  #askIn(): void {
    const { group, transport, self, contacts } = this.#parts
    if (membersOf(group.group.configuration).includes(self)) return
    const connected = contacts.filter((id) => transport.link(id) === 'connected')
    if (connected.length === 0) return
    const contact = connected[this.#nextContact++ % connected.length]!
    const payload = encodeNodeRequest({ kind: NodeRequestKind.OBSERVE, group: group.id, body: NO_BODY })
    this.#isBusy = true
    const done = (): void => {
      this.#isBusy = false
    }
    // Whatever the answer: the log itself tells when this node is in, and another tick asks another node.
    transport.request(contact, payload, ASK_TIMEOUT_MS).then(done, done)
  }

  #removeGone(): void {
    const { group, transport, clock, goneMs } = this.#parts
    const now = clock.monotonic()
    for (const id of group.group.configuration.learners) {
      if (!group.desk.isObserver(id) || transport.link(id) === 'connected') {
        this.#missedSince.delete(id)
        continue
      }
      const since = this.#missedSince.get(id) ?? now
      this.#missedSince.set(id, since)
      if (now - since < goneMs) continue
      this.#isBusy = true
      group.desk.removeObserver(id, () => {
        this.#isBusy = false
      })
      return
    }
  }
}
