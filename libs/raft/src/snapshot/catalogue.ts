import type { RaftGroupId, SnapshotMeta } from '../core/types.js'
import type { SnapshotCorruptError } from './errors.js'
import type { SnapshotFileName } from './format.js'
import { sameBytes } from './snapshot-content.js'
import type { StoredSnapshot } from './stored-snapshot.js'

type Position = Pick<SnapshotMeta, 'index' | 'term'>

/** A file whose name says that it is a snapshot, and which cannot be read. */
interface DamagedSnapshot {
  readonly name: SnapshotFileName
  readonly path: string
  readonly error: SnapshotCorruptError
}

interface GroupFiles {
  /** In the order of their positions; those of other incarnations among them. */
  whole: StoredSnapshot[]
  damaged: DamagedSnapshot[]
}

/** Positive when `a` is the later one. The index decides; the same index has the same term, unless a file lies. */
export function comparePositions(a: Position, b: Position): number {
  return a.index - b.index || a.term - b.term
}

/** The snapshot files of a directory that are not being written. */
export class Catalogue {
  readonly #groups = new Map<RaftGroupId, GroupFiles>()
  /** Whose file has a path, also those that are forgotten and wait for their last reader. */
  readonly #owners = new Map<string, StoredSnapshot>()

  /** Takes the place of another one of the same name. */
  add(snapshot: StoredSnapshot): void {
    this.#owners.get(snapshot.path)?.replace()
    this.#owners.set(snapshot.path, snapshot)
    const files = this.#groups.get(snapshot.group) ?? { whole: [], damaged: [] }
    this.#groups.set(snapshot.group, files)
    const isOther = (position: Position): boolean => comparePositions(position, snapshot.meta) !== 0
    files.whole = files.whole.filter(({ meta }) => isOther(meta))
    files.damaged = files.damaged.filter(({ name }) => isOther(name))
    files.whole.push(snapshot)
    files.whole.sort((a, b) => comparePositions(a.meta, b.meta))
  }

  /** Its file is no more. */
  gone(snapshot: StoredSnapshot): void {
    if (this.#owners.get(snapshot.path) === snapshot) this.#owners.delete(snapshot.path)
  }

  addDamaged(damaged: DamagedSnapshot): void {
    const files = this.#groups.get(damaged.name.group) ?? { whole: [], damaged: [] }
    this.#groups.set(damaged.name.group, files)
    files.damaged.push(damaged)
  }

  /**
   * @throws SnapshotCorruptError when the newest one is damaged: an older one, or none, may lack what the log
   * has given up since
   */
  latest(group: RaftGroupId, uuid: Uint8Array): StoredSnapshot | undefined {
    const files = this.#groups.get(group)
    const latest = files?.whole.findLast((snapshot) => sameBytes(snapshot.info.uuid, uuid))
    for (const { name, error } of files?.damaged ?? [])
      if (latest === undefined || comparePositions(name, latest.meta) > 0) throw error
    if (latest?.damage !== undefined) throw latest.damage
    return latest
  }

  find(group: RaftGroupId, uuid: Uint8Array, position: Position): StoredSnapshot | undefined {
    return this.#groups
      .get(group)
      ?.whole.find(({ info, meta }) => comparePositions(meta, position) === 0 && sameBytes(info.uuid, uuid))
  }

  /**
   * Forgets all but the newest `keepCount` of the incarnation: those of others, and damaged files older than
   * the newest whole one, go too. Nothing is forgotten as long as there is no whole one.
   */
  takeSuperfluous(
    group: RaftGroupId,
    uuid: Uint8Array,
    keepCount: number,
  ): {
    readonly whole: readonly StoredSnapshot[]
    readonly damaged: readonly DamagedSnapshot[]
    readonly newest: SnapshotMeta | undefined
  } {
    const files = this.#groups.get(group)
    const own = (files?.whole ?? []).filter(({ info }) => sameBytes(info.uuid, uuid))
    const newest = own.at(-1)
    if (files === undefined || newest === undefined) return { whole: [], damaged: [], newest: undefined }
    const kept = new Set(own.slice(-keepCount))
    const isOlder = ({ name }: DamagedSnapshot): boolean => comparePositions(name, newest.meta) < 0
    const superfluous = {
      whole: files.whole.filter((snapshot) => !kept.has(snapshot)),
      damaged: files.damaged.filter(isOlder),
      newest: newest.meta,
    }
    files.whole = files.whole.filter((snapshot) => kept.has(snapshot))
    files.damaged = files.damaged.filter((damaged) => !isOlder(damaged))
    return superfluous
  }

  /** Forgets everything about a group. */
  takeGroup(group: RaftGroupId): GroupFiles {
    const files = this.#groups.get(group) ?? { whole: [], damaged: [] }
    this.#groups.delete(group)
    return files
  }
}
