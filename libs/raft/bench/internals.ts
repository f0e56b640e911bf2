import type * as CodecModule from '../src/host/codec.js'
import type * as CoreModule from '../src/core/core.js'
import type * as MemoryLogModule from '../src/storage/memory-log.js'
import type * as TypesModule from '../src/core/types.js'
import type * as FilesModule from '../src/wal/files.js'
import type * as TransportModule from '../src/transport/tcp-transport.js'

/*
 * Parts of the library that are behind its front door and have rows of their own. The types are those of
 * the sources; what runs is what was built from them.
 */
const BUILT = new URL('../../dist/', import.meta.url)

async function built(path: string): Promise<unknown> {
  return import(new URL(path, BUILT).href)
}

export const { decodeFrame, encodeFrame } = (await built('host/codec.js')) as typeof CodecModule
export const { RaftCore } = (await built('core/core.js')) as typeof CoreModule
export const { MessageKind } = (await built('core/types.js')) as typeof TypesModule
export const { MemoryLog } = (await built('storage/memory-log.js')) as typeof MemoryLogModule
export const { nodeFiles } = (await built('wal/files.js')) as typeof FilesModule
export const { TcpTransport } = (await built('transport/tcp-transport.js')) as typeof TransportModule

export type { RoutedMessage } from '../src/host/codec.js'
export type { RaftCore as Core } from '../src/core/core.js'
export type { MemoryLog as Log } from '../src/storage/memory-log.js'
export type { RaftMessage } from '../src/core/types.js'
export type { TcpTransport as Transport } from '../src/transport/tcp-transport.js'
export type { WalFile } from '../src/wal/files.js'
/** The real file system, as the log sees it. */
export type Disk = typeof nodeFiles
