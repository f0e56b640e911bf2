import { randomBytes } from 'node:crypto'
import { decodeJson, encodeJson } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import type { SnapshotSource } from '@sluice/raft'
import type { RpcLink } from '@sluice/rpc'
import { RpcMethod } from '@sluice/contracts'

/** Copies that are being read at a time; the one that was not read for longest makes room. */
const COPIES_MAX = 16
const IDLE_MS_MAX = 60_000
const READ_BYTES_MAX = 1024 * 1024
const CALL_TIMEOUT_MS = 30_000

interface OpenCopy {
  readonly source: SnapshotSource
  usedAt: number
}

/** Snapshots of partitions that other brokers read out of this one's database, because theirs has lost them. */
export class DatabaseCopies {
  readonly #open: (groupId: number) => Promise<SnapshotSource>
  readonly #clock: Clock
  readonly #copies = new Map<string, OpenCopy>()

  /** @param open the partition as the database has it; throws when it is not here */
  constructor(open: (groupId: number) => Promise<SnapshotSource>, clock: Clock) {
    this.#open = open
    this.#clock = clock
  }

  /** The answer of COPY_OPEN. */
  async open(payload: Uint8Array): Promise<Uint8Array> {
    const { groupId } = decodeJson(payload) as { groupId?: unknown }
    if (typeof groupId !== 'number') throw new BrokerError('INVALID_REQUEST', 'a copy is of a group')
    const source = await this.#open(groupId)
    await this.#makeRoom()
    const id = randomBytes(8).toString('hex')
    this.#copies.set(id, { source, usedAt: this.#clock.monotonic() })
    const { index, term, configuration } = source.meta
    return encodeJson({
      id,
      index,
      term,
      configuration: Buffer.from(configuration).toString('base64'),
      sizeBytes: source.sizeBytes,
    })
  }

  /** The answer of COPY_READ. */
  async read(payload: Uint8Array): Promise<Uint8Array> {
    const { id, offset, length } = decodeJson(payload) as { id?: unknown; offset?: unknown; length?: unknown }
    const copy = typeof id === 'string' ? this.#copies.get(id) : undefined
    if (copy === undefined || typeof offset !== 'number' || typeof length !== 'number')
      throw new BrokerError('INVALID_REQUEST', 'this copy is not open, or not any more', { outcome: 'no' })
    copy.usedAt = this.#clock.monotonic()
    return copy.source.read(offset, Math.min(length, READ_BYTES_MAX))
  }

  async close(): Promise<void> {
    for (const { source } of this.#copies.values()) await source.close()
    this.#copies.clear()
  }

  async #makeRoom(): Promise<void> {
    const now = this.#clock.monotonic()
    const oldestFirst = [...this.#copies].sort(([, a], [, b]) => a.usedAt - b.usedAt)
    for (const [id, { source, usedAt }] of oldestFirst) {
      if (this.#copies.size < COPIES_MAX && now - usedAt < IDLE_MS_MAX) return
      this.#copies.delete(id)
      await source.close()
    }
  }
}

/** A partition in another broker's database. @throws BrokerError, RpcError when it is not there to be had */
export async function openRemoteCopy(
  link: Pick<RpcLink, 'request'>,
  groupId: number,
  signal: AbortSignal,
): Promise<SnapshotSource> {
  const call = { timeoutMs: CALL_TIMEOUT_MS, signal }
  const opened = decodeJson(await link.request(RpcMethod.COPY_OPEN, encodeJson({ groupId }), call)) as {
    readonly id: string
    readonly index: number
    readonly term: number
    readonly configuration: string
    readonly sizeBytes: number
  }
  const { id, index, term, sizeBytes } = opened
  return {
    meta: { index, term, configuration: Uint8Array.from(Buffer.from(opened.configuration, 'base64')) },
    sizeBytes,
    read: (offset, length) => link.request(RpcMethod.COPY_READ, encodeJson({ id, offset, length }), call),
    close: () => Promise.resolve(),
  }
}
