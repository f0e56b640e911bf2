import { join } from 'node:path'
import type { NodeId } from '../core/types.js'
import { readIfPresent, writeDurably } from './durable-file.js'
import { IdentityError } from './errors.js'

const FILE = 'known-peers.json'
const FORMAT = 1
const UUID_HEX = /^[0-9a-f]{32}$/
/** More were never in one cluster; whoever shows more has made them up. */
const PEERS_MAX = 4096

/**
 * The uuid that each peer showed first. A peer that shows another one under the same id has lost its
 * disk, with its votes and what it acknowledged: it must not take part as itself (etcd #13509).
 */
export class KnownPeers {
  readonly #directory: string | undefined
  readonly #uuids: Map<NodeId, string>
  #writing: Promise<void> = Promise.resolve()

  private constructor(directory: string | undefined, uuids: Map<NodeId, string>) {
    this.#directory = directory
    this.#uuids = uuids
  }

  /**
   * @param directory `undefined` remembers in memory only
   * @throws IdentityError when the file cannot be read
   */
  static async open(directory: string | undefined): Promise<KnownPeers> {
    if (directory === undefined) return new KnownPeers(undefined, new Map<NodeId, string>())
    const path = join(directory, FILE)
    const text = await readIfPresent(path)
    return new KnownPeers(directory, text === undefined ? new Map<NodeId, string>() : parsePeers(path, text))
  }

  get size(): number {
    return this.#uuids.size
  }

  /** 'known' and 'new' peers may take part; a 'replaced' one may not. Remembers nothing. */
  check(peer: NodeId, uuid: Uint8Array): 'known' | 'new' | 'replaced' {
    const known = this.#uuids.get(peer)
    if (known === undefined) return 'new'
    return known === hex(uuid) ? 'known' : 'replaced'
  }

  /**
   * Remembers a peer that is new; resolves when that is durable, and only then may it be listened to.
   * @returns false when the peer was known under another uuid, or there are too many
   */
  async remember(peer: NodeId, uuid: Uint8Array): Promise<boolean> {
    const found = this.check(peer, uuid)
    if (found === 'new') {
      if (this.#uuids.size >= PEERS_MAX) return false
      this.#uuids.set(peer, hex(uuid))
      this.#writing = this.#write()
    }
    await this.#writing
    return found !== 'replaced'
  }

  /** Forgets all others: under the id of a node that was removed another may be added now. */
  async retain(peers: ReadonlySet<NodeId>): Promise<void> {
    const gone = [...this.#uuids.keys()].filter((id) => !peers.has(id))
    for (const id of gone) this.#uuids.delete(id)
    if (gone.length > 0) this.#writing = this.#write()
    await this.#writing
  }

  /** One after the other; the last one to start writes what all before it changed. */
  async #write(): Promise<void> {
    await this.#writing
    if (this.#directory === undefined) return
    const peers = Object.fromEntries(this.#uuids)
    await writeDurably(join(this.#directory, FILE), `${JSON.stringify({ format: FORMAT, peers })}\n`)
  }
}

function parsePeers(path: string, text: string): Map<NodeId, string> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new IdentityError(`${path} is damaged`, { cause })
  }
  const { format, peers } = (value ?? {}) as Record<string, unknown>
  if (format !== FORMAT || typeof peers !== 'object' || peers === null)
    throw new IdentityError(`${path} has a format that this version does not read`)
  const uuids = new Map<NodeId, string>()
  for (const [text, uuid] of Object.entries(peers)) {
    const id = Number(text)
    if (
      !Number.isInteger(id) ||
      id < 1 ||
      id > 0xffff_ffff ||
      typeof uuid !== 'string' ||
      !UUID_HEX.test(uuid)
    )
      throw new IdentityError(`${path} is damaged`)
    uuids.set(id as NodeId, uuid)
  }
  return uuids
}

function hex(uuid: Uint8Array): string {
  return Buffer.from(uuid).toString('hex')
}
