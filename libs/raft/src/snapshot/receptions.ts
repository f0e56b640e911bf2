import { messageOf } from '@sluice/foundation'
import type { RaftGroupId } from '../core/types.js'
import { comparePositions } from './catalogue.js'
import { Draft } from './draft.js'
import { SnapshotBusyError, SnapshotCorruptError } from './errors.js'
import type { SnapshotFile } from './files.js'
import { fileSizeBytes, type SnapshotFileName, type SnapshotHeader, snapshotFileName } from './format.js'
import { type IncomingSnapshot, PresentSnapshot, ReceivingSnapshot } from './incoming-snapshot.js'
import { type SnapshotContent, sameBytes } from './snapshot-content.js'
import type { SnapshotDirectory } from './snapshot-directory.js'
import type { SnapshotStoreEvent } from './snapshot-event.js'
import { readHeader } from './snapshot-file.js'

/** The snapshots that other nodes send, at most one for a group at a time. */
export class Receptions {
  readonly #directory: SnapshotDirectory
  readonly #receptionsMax: number
  readonly #onEvent: (event: SnapshotStoreEvent) => void
  /** Without a value while it is being opened. */
  readonly #active = new Map<RaftGroupId, ReceivingSnapshot | undefined>()
  /** Files with part of a snapshot, by their names. */
  readonly #partials = new Map<RaftGroupId, Map<string, SnapshotFileName>>()

  constructor(parts: {
    readonly directory: SnapshotDirectory
    readonly receptionsMax: number
    readonly onEvent: (event: SnapshotStoreEvent) => void
    /** Left by the process before this one. */
    readonly partials: readonly SnapshotFileName[]
  }) {
    this.#directory = parts.directory
    this.#receptionsMax = parts.receptionsMax
    this.#onEvent = parts.onEvent
    for (const name of parts.partials) this.#remember(name)
  }

  /** Within a turn of the group. */
  async receive(header: SnapshotHeader, content: SnapshotContent): Promise<IncomingSnapshot> {
    const { group } = header
    const present = this.#present(header, content.sizeBytes)
    if (present !== undefined) return present
    if (this.#active.has(group))
      throw new SnapshotBusyError(`a snapshot of group ${group} is being received already`)
    if (this.#active.size >= this.#receptionsMax)
      throw new SnapshotBusyError(`${this.#receptionsMax} snapshots are being received already`)
    this.#active.set(group, undefined)
    try {
      const incoming = await this.#open(header, content)
      this.#active.set(group, incoming)
      return incoming
    } catch (error) {
      this.#active.delete(group)
      throw error
    }
  }

  /** Removes what nobody goes on with: of the group, all up to `index`. Within a turn of the group. */
  async prune(group: RaftGroupId, index: number): Promise<void> {
    if (this.#active.has(group)) return
    for (const name of [...(this.#partials.get(group)?.values() ?? [])])
      if (name.index <= index) await this.#remove(name)
  }

  /** Ends what goes on, and removes all of it. Within a turn of the group. */
  async removeGroup(group: RaftGroupId): Promise<void> {
    await this.#active.get(group)?.abandon()
    for (const name of [...(this.#partials.get(group)?.values() ?? [])]) await this.#remove(name)
  }

  async suspendAll(): Promise<void> {
    for (const incoming of [...this.#active.values()]) await incoming?.suspend()
  }

  /** What the store has already: a newer one does as well, since the state in it was committed too. */
  #present({ group, uuid, meta }: SnapshotHeader, sizeBytes: number): IncomingSnapshot | undefined {
    try {
      const latest = this.#directory.catalogue.latest(group, uuid)
      if (latest === undefined || comparePositions(latest.meta, meta) < 0) return undefined
      return new PresentSnapshot(sizeBytes, () => latest.open())
    } catch (error) {
      // The one that is sent takes the place of a damaged one.
      if (error instanceof SnapshotCorruptError) return undefined
      throw error
    }
  }

  async #open(header: SnapshotHeader, content: SnapshotContent): Promise<ReceivingSnapshot> {
    const { group, meta } = header
    const name: SnapshotFileName = { group, index: meta.index, term: meta.term, kind: 'part' }
    const known = this.#partials.get(group)
    let draft: Draft | undefined
    for (const other of [...(known?.values() ?? [])])
      if (snapshotFileName(other) !== snapshotFileName(name)) await this.#remove(other)
      else draft = await this.#goOn(name, header, content)
    this.#remember(name)
    try {
      draft ??= await this.#directory.begin('part', header, content.sizeBytes)
    } catch (error) {
      await this.#remove(name)
      throw error
    }
    return this.#incoming(draft, name, content)
  }

  #incoming(draft: Draft, name: SnapshotFileName, content: SnapshotContent): ReceivingSnapshot {
    return new ReceivingSnapshot({
      draft,
      sizeBytes: content.sizeBytes,
      crc: content.crc,
      commit: (info, checkWanted) =>
        this.#directory.turns.run(name.group, async () => {
          checkWanted()
          this.#forget(name)
          return (await this.#directory.commit('part', info)).open()
        }),
      remove: () => this.#remove(name),
      ended: () => this.#active.delete(name.group),
    })
  }

  /** What is whole of a file that is for the same content; `undefined` when it is for another one. */
  async #goOn(
    name: SnapshotFileName,
    wanted: SnapshotHeader,
    content: SnapshotContent,
  ): Promise<Draft | undefined> {
    const path = this.#directory.path(name)
    let file: SnapshotFile | undefined
    let reason: string
    try {
      file = await this.#directory.files.open(path, 'existing')
      const header = await readHeader(file, path)
      const isSame =
        sameBytes(header.uuid, wanted.uuid) &&
        sameBytes(header.contentId, wanted.contentId) &&
        sameBytes(header.meta.configuration, wanted.meta.configuration)
      const isWithin = (await file.size()) <= fileSizeBytes(header.layout, content.sizeBytes)
      if (isSame && isWithin) return await Draft.goOn(file, path, { header, sizeBytes: content.sizeBytes })
      reason = 'it is part of another snapshot'
    } catch (error) {
      reason = messageOf(error)
    }
    await file?.close().catch(() => undefined)
    await this.#remove(name)
    this.#onEvent({ kind: 'partial-discarded', file: path, reason })
    return undefined
  }

  #remember(name: SnapshotFileName): void {
    const names = this.#partials.get(name.group) ?? new Map<string, SnapshotFileName>()
    names.set(snapshotFileName(name), name)
    this.#partials.set(name.group, names)
  }

  #forget(name: SnapshotFileName): void {
    const names = this.#partials.get(name.group)
    names?.delete(snapshotFileName(name))
    if (names?.size === 0) this.#partials.delete(name.group)
  }

  async #remove(name: SnapshotFileName): Promise<void> {
    this.#forget(name)
    await this.#directory.remove(name)
  }
}
