import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Entry,
  EntryKind,
  type HardState,
  type NodeId,
  type RaftGroupId,
  type SnapshotMeta,
} from '../src/core/types.js'
import type { LogWrite } from '../src/storage/log-store.js'
import type { GroupLog } from '../src/wal/group-log.js'
import { openWal, type Wal } from '../src/wal/wal.js'
import type { WalOptions } from '../src/wal/wal-options.js'
import type { SimulatedDisk } from './wal-simulated-disk.js'

const NODE = Buffer.from('0123456789abcdef0123456789abcdef', 'hex')
/** No seal comes by itself, and no timer keeps a log in memory whose disk lost its power. */
const NEVER_MS = Number.POSITIVE_INFINITY

export function groupId(value: number): RaftGroupId {
  return value as RaftGroupId
}

export function uuidOf(value: number): Uint8Array {
  return new Uint8Array(16).fill(value)
}

export function hardState(term: number, vote: number, commit: number): HardState {
  return { term, vote: vote as NodeId | 0, commit }
}

/** Data that tells its entry, of this size or a little more. Entries of all kinds. */
export function entry(index: number, term: number, sizeBytes = 8): Entry {
  const text = `${index}/${term}:`
  const kind =
    index % 5 === 0 ? EntryKind.NOOP : index % 7 === 0 ? EntryKind.CONFIGURATION : EntryKind.COMMAND
  return { index, term, kind, data: Buffer.from(text.padEnd(sizeBytes, '.')) }
}

/** A snapshot whose configuration tells where it is from. */
export function snapshot(index: number, term: number): SnapshotMeta {
  return { index, term, configuration: Buffer.from(`members at ${index}/${term}`) }
}

export function entries(from: number, to: number, term: number, sizeBytes = 8): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term, sizeBytes))
}

/** Temporary directories and the logs opened in them; a test's `afterEach` ends both. */
export class WalBench {
  readonly #directories: string[] = []
  readonly #wals: Wal[] = []

  async directory(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-wal-'))
    this.#directories.push(directory)
    return directory
  }

  async open(directory: string, options: Partial<WalOptions> = {}): Promise<Wal> {
    const wal = await openWal({
      directory,
      nodeUuid: NODE,
      segmentBytes: 4096,
      sealAfterMs: NEVER_MS,
      onFatal: (error) => {
        throw error
      },
      ...options,
    })
    this.#wals.push(wal)
    return wal
  }

  openOn(disk: SimulatedDisk, options: Partial<WalOptions> = {}): Promise<Wal> {
    return openWal({
      directory: '/simulated',
      nodeUuid: NODE,
      segmentBytes: 1024,
      sealAfterMs: NEVER_MS,
      onFatal: () => undefined,
      files: disk,
      ...options,
    })
  }

  async end(): Promise<void> {
    for (const wal of this.#wals.splice(0)) await wal.close()
    for (const directory of this.#directories.splice(0)) await rm(directory, { recursive: true, force: true })
  }
}

export function append(wal: Wal, ...writes: LogWrite[]): Promise<void> {
  return new Promise((resolve) => {
    wal.append(writes, resolve)
  })
}

/** The group, made when it is not there. */
export function openGroup(wal: Wal, id: number): GroupLog {
  return wal.group(groupId(id)) ?? wal.createGroup(groupId(id), uuidOf(id), `group ${id}`)
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

/** Everything a log says, with its entries as text; comparable. */
export async function describeLog(log: GroupLog): Promise<unknown> {
  const { id, name, compactedIndex, compactedTerm, lastIndex } = log
  const found: Entry[] = []
  while (compactedIndex + found.length < lastIndex)
    found.push(...(await log.read(compactedIndex + found.length + 1, lastIndex, 1 << 20)))
  const terms = Array.from({ length: lastIndex - compactedIndex + 1 }, (_, i) => log.term(compactedIndex + i))
  const sizes = found.map((one) => log.sizeBytes(one.index))
  const texts = found.map((one) => `${one.index} ${one.term} ${one.kind} ${textOf(one.data)}`)
  const { term, vote, commit } = log.hardState
  const uuid = Buffer.from(log.uuid).toString('hex')
  const base = log.baseConfiguration === undefined ? undefined : textOf(log.baseConfiguration)
  const configurations = log
    .configurationEntries()
    .map((one) => `${one.index} ${one.term} ${textOf(one.data)}`)
  return {
    id,
    name,
    uuid,
    state: { term, vote, commit },
    compactedIndex,
    compactedTerm,
    lastIndex,
    terms,
    sizes,
    texts,
    base,
    configurations,
  }
}

/** By group id. */
export async function describeWal(wal: Wal): Promise<unknown[]> {
  const ids = wal.groups().sort((a, b) => a - b)
  return Promise.all(ids.map((id) => describeLog(wal.group(id)!)))
}
