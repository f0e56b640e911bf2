import { decodeConfiguration } from '../../core/configuration.js'
import { type Entry, EntryKind } from '../../core/types.js'

/** A number that tells entries apart by term, kind and bytes. */
export function fingerprint(entry: Entry): number {
  const { data } = entry
  let hash = Math.imul(0x811c9dc5 ^ entry.term, 0x01000193) ^ entry.kind
  for (let i = 0; i < data.length; i++) hash = Math.imul(hash ^ data[i]!, 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}

/*
 * A command of the workload: serial u32 | expected u32 | tag u32 | kind u8 | key u8 | padding
 */
const COMMAND_BYTES_MIN = 14

export interface Command {
  readonly serial: number
  readonly isSwap: boolean
  readonly key: number
  readonly expected: number
  readonly tag: number
}

export function encodeCommand(command: Command, sizeBytes: number): Uint8Array {
  const data = new Uint8Array(Math.max(COMMAND_BYTES_MIN, sizeBytes))
  const view = new DataView(data.buffer)
  view.setUint32(0, command.serial)
  view.setUint32(4, command.expected)
  view.setUint32(8, command.tag)
  view.setUint8(12, command.isSwap ? 1 : 0)
  view.setUint8(13, command.key)
  return data
}

/** `undefined` for entries that are no commands. */
export function commandOf(entry: Entry): Command | undefined {
  const { data } = entry
  if (entry.kind !== EntryKind.COMMAND || data.length < COMMAND_BYTES_MIN) return undefined
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  return {
    serial: view.getUint32(0),
    expected: view.getUint32(4),
    tag: view.getUint32(8),
    isSwap: view.getUint8(12) === 1,
    key: view.getUint8(13),
  }
}

/** The tag in a configuration's context; `undefined` when it has none. */
export function configurationTag(bytes: Uint8Array): number | undefined {
  return tagOfContext(decodeConfiguration(bytes).context)
}

export function contextOf(tag: number): Uint8Array {
  const context = new Uint8Array(4)
  new DataView(context.buffer).setUint32(0, tag)
  return context
}

function tagOfContext(context: Uint8Array): number | undefined {
  if (context.length !== 4) return undefined
  return new DataView(context.buffer, context.byteOffset).getUint32(0)
}
