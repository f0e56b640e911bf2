import type { NodeId } from '../core/types.js'
import { encodeFrame, messageSizeBytes, type RoutedMessage } from './codec.js'

/** A frame is closed once it is this large, so that no peer must take more than this at a time. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024

/** How a process reaches its peers. Frames may be lost; they are never changed. */
export interface RaftTransport {
  /** False when the frame was dropped at once: no connection, or too much is waiting for it. */
  send(peer: NodeId, frame: Uint8Array): boolean
}

/** What all groups of a process want to say to their peers this turn: one frame a peer, mostly. */
export class Outbox {
  readonly #transport: RaftTransport
  readonly #byPeer = new Map<NodeId, RoutedMessage[]>()

  constructor(transport: RaftTransport) {
    this.#transport = transport
  }

  add(routed: RoutedMessage): void {
    const waiting = this.#byPeer.get(routed.message.to)
    if (waiting === undefined) this.#byPeer.set(routed.message.to, [routed])
    else waiting.push(routed)
  }

  flush(): void {
    for (const [peer, messages] of this.#byPeer) {
      if (messages.length === 0) continue
      let start = 0
      let bytes = 0
      for (let i = 0; i < messages.length; i++) {
        const size = messageSizeBytes(messages[i]!)
        if (bytes > 0 && bytes + size > FRAME_BYTES_MAX) {
          this.#transport.send(peer, encodeFrame(messages.slice(start, i)))
          start = i
          bytes = 0
        }
        bytes += size
      }
      this.#transport.send(peer, encodeFrame(start === 0 ? messages : messages.slice(start)))
      messages.length = 0
    }
  }
}
