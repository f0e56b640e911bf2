import { MessageKind, type NodeId } from '../core/types.js'
import { encodeFrame, messageSizeBytes, type RoutedMessage } from './codec.js'

/** A frame is closed once it is this large, so that no peer must take more than this at a time. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024
/** What one peer is sent in one turn; the rest waits for the next, so that no group fills a link alone. */
const TURN_BYTES_MAX = 8 * 1024 * 1024

/** `urgent` keeps leaders and elections alive, `bulk` may wait for everything else. */
export type FramePriority = 'urgent' | 'normal' | 'bulk'

/** How a process reaches its peers. Frames may be lost; they are never changed. */
export interface RaftTransport {
  /** False when the frame was dropped at once: no connection, or too much is waiting for it. */
  send(peer: NodeId, frame: Uint8Array, priority: FramePriority): boolean
}

interface Waiting {
  urgent: RoutedMessage[]
  normal: RoutedMessage[]
}

/** What all groups of a process want to say to their peers this turn: a frame a peer and priority, mostly. */
export class Outbox {
  readonly #transport: RaftTransport
  readonly #epoch: number
  readonly #byPeer = new Map<NodeId, Waiting>()
  readonly #spokenTo = new Set<NodeId>()

  /** @param epoch of this process */
  constructor(transport: RaftTransport, epoch: number) {
    this.#transport = transport
    this.#epoch = epoch
  }

  add(routed: RoutedMessage): void {
    const { to, kind } = routed.message
    let waiting = this.#byPeer.get(to)
    if (waiting === undefined) {
      waiting = { urgent: [], normal: [] }
      this.#byPeer.set(to, waiting)
    }
    const bulky = kind === MessageKind.APPEND || kind === MessageKind.APPEND_RESPONSE
    waiting[bulky ? 'normal' : 'urgent'].push(routed)
  }

  /** True when something is left for the next turn. */
  flush(): boolean {
    let left = false
    for (const [peer, waiting] of this.#byPeer) {
      if (waiting.urgent.length > 0) {
        this.#sendAll(peer, waiting.urgent, 'urgent')
        waiting.urgent = []
      }
      if (waiting.normal.length > 0) {
        waiting.normal = this.#sendAll(peer, waiting.normal, 'normal')
        left ||= waiting.normal.length > 0
      }
    }
    return left
  }

  /** A sign of life, unless the peer has had one since the last call. */
  beat(peer: NodeId): void {
    if (!this.#spokenTo.delete(peer)) this.#transport.send(peer, encodeFrame([], this.#epoch), 'urgent')
  }

  /** Sends what a turn may hold, and returns the rest. */
  #sendAll(peer: NodeId, messages: readonly RoutedMessage[], priority: FramePriority): RoutedMessage[] {
    this.#spokenTo.add(peer)
    let start = 0
    let frameBytes = 0
    let turnBytes = 0
    for (let i = 0; i < messages.length; i++) {
      const size = messageSizeBytes(messages[i]!)
      if (frameBytes > 0 && frameBytes + size > FRAME_BYTES_MAX) {
        this.#transport.send(peer, encodeFrame(messages.slice(start, i), this.#epoch), priority)
        start = i
        frameBytes = 0
        if (turnBytes > TURN_BYTES_MAX) return messages.slice(i)
      }
      frameBytes += size
      turnBytes += size
    }
    this.#transport.send(
      peer,
      encodeFrame(start === 0 ? messages : messages.slice(start), this.#epoch),
      priority,
    )
    return []
  }
}
