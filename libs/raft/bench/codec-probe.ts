import { type Entry, EntryKind, type NodeId, type RaftGroupId } from '@sluice/raft'
import { decodeFrame, encodeFrame, MessageKind, type RaftMessage, type RoutedMessage } from './internals.js'
import { inSlices, type Slices } from './slices.js'

const LINK = { from: 1 as NodeId, to: 2 as NodeId }
const AT_ONCE = 64

export interface CodecShape {
  readonly kind: 'heartbeat' | 'append'
  readonly entries: number
  readonly payloadBytes: number
  /** Messages in a frame. */
  readonly messages: number
}

/** Nanoseconds of CPU for each message. */
export interface CodecReading {
  readonly encode: Slices
  readonly decode: Slices
}

export function probeCodec(shape: CodecShape, forMs: number): CodecReading {
  const messages = Array.from({ length: shape.messages }, (_, i) => messageOf(shape, i))
  const frame = encodeFrame(messages, 1)
  return {
    encode: inSlices(forMs / 2, (ms) => timeOf(() => encodeFrame(messages, 1), ms) / shape.messages),
    decode: inSlices(forMs / 2, (ms) => timeOf(() => decodeFrame(frame, LINK), ms) / shape.messages),
  }
}

/** Nanoseconds of CPU for each call. What is made is added up, so that none of it is left out. */
function timeOf(run: () => { readonly length: number }, forMs: number): number {
  const from = process.cpuUsage()
  const endMs = performance.now() + forMs
  let calls = 0
  let made = 0
  while (performance.now() < endMs) {
    for (let i = 0; i < AT_ONCE; i++) made += run().length
    calls += AT_ONCE
  }
  if (made < calls) throw new Error('a frame is not empty')
  const { user, system } = process.cpuUsage(from)
  return ((user + system) * 1000) / calls
}

function messageOf({ kind, entries, payloadBytes }: CodecShape, i: number): RoutedMessage {
  const index = 1_000_000 + i
  const message: RaftMessage = {
    kind: kind === 'append' ? MessageKind.APPEND : MessageKind.HEARTBEAT,
    ...LINK,
    term: 7,
    index,
    logTerm: 7,
    commit: index - 1,
    reject: false,
    hint: 0,
    hintTerm: 0,
    context: 0,
    count: entries,
  }
  return {
    group: (i + 1) as RaftGroupId,
    incarnation: 0xbebe_bebe,
    message,
    entries: Array.from({ length: entries }, (_, j): Entry => ({
      index: index + 1 + j,
      term: 7,
      kind: EntryKind.COMMAND,
      data: new Uint8Array(payloadBytes).fill(j),
    })),
  }
}
