import { open, readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Random } from '@sluice/foundation'
import type { UnsyncedRange } from './sync-journal.js'

const SEGMENT = /^wal-[0-9a-f]{16}\.seg$/
const CUT_BYTES_MAX = 16 * 1024

/** The log of a broker that does not run: what a disk can do to it. */
export class BrokerLog {
  readonly #directory: string

  constructor(brokerDirectory: string) {
    this.#directory = path.join(brokerDirectory, 'log')
  }

  /** A power failure: of what was written and not synced a random part is gone. Returns the bytes lost. */
  async loseUnsynced(ranges: readonly UnsyncedRange[], random: Random): Promise<number> {
    let lost = 0
    for (const name of await readdir(this.#directory)) {
      const file = path.join(this.#directory, name)
      const { ino } = await stat(file)
      for (const range of ranges.filter(({ inode }) => inode === ino)) {
        const from = range.from + random.below(range.to - range.from + 1)
        lost += range.to - from
        await overwrite(file, from, Buffer.alloc(range.to - from))
      }
    }
    return lost
  }

  /** Cuts off the newest segment's end, some of it written. Says what was done. */
  async truncate(random: Random): Promise<string> {
    const { file, end } = (await this.#segments()).at(-1)!
    const to = Math.max(0, end - 1 - random.below(Math.min(end, CUT_BYTES_MAX)))
    const handle = await open(file, 'r+')
    try {
      await handle.truncate(to)
    } finally {
      await handle.close()
    }
    return `${path.basename(file)} cut to ${to} bytes, ${end - to} of them written`
  }

  /** Flips one bit that was written. Says which. */
  async flip(random: Random): Promise<string> {
    const segments = await this.#segments()
    const { file, end } = segments[random.below(segments.length)]!
    const at = random.below(end)
    const byte = (await readFile(file))[at]! ^ (1 << random.below(8))
    await overwrite(file, at, Buffer.of(byte))
    return `${path.basename(file)} has a bit flipped in byte ${at} of ${end}`
  }

  /** Oldest first, each with where its written bytes end: files are filled with zeros ahead of time. */
  async #segments(): Promise<readonly { readonly file: string; readonly end: number }[]> {
    const names = (await readdir(this.#directory)).filter((name) => SEGMENT.test(name)).sort()
    const segments = await Promise.all(
      names.map(async (name) => {
        const file = path.join(this.#directory, name)
        const bytes = await readFile(file)
        return { file, end: bytes.findLastIndex((byte) => byte !== 0) + 1 }
      }),
    )
    const written = segments.filter(({ end }) => end > 0)
    if (written.length === 0) throw new Error(`no log was found in ${this.#directory}`)
    return written
  }
}

async function overwrite(file: string, at: number, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    await handle.write(bytes, 0, bytes.length, at)
  } finally {
    await handle.close()
  }
}
