import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, statfs } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { messageOf } from '@sluice/foundation'

const run = promisify(execFile)

const ROOMY = '1024m'
const PAGE_BYTES = 4096

/** A file system in memory over a broker's directory: it can be made full, and roomy again. */
export class SmallDisk {
  readonly #directory: string
  #isMounted = false

  constructor(directory: string) {
    this.#directory = directory
  }

  /** What keeps this machine from having one; undefined when nothing does. */
  static async obstacle(): Promise<string | undefined> {
    const probe = await mkdtemp(path.join(os.tmpdir(), 'sluice-mount-'))
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe])
      await run('umount', [probe])
      return undefined
    } catch (error) {
      return messageOf(error).split('\n')[0]
    } finally {
      await rm(probe, { recursive: true, force: true })
    }
  }

  /** Nothing may use the directory meanwhile; what it holds moves. */
  async moveIn(): Promise<void> {
    const aside = `${this.#directory}.aside`
    await cp(this.#directory, aside, { recursive: true })
    await mkdir(this.#directory, { recursive: true })
    await run('mount', ['-t', 'tmpfs', '-o', `size=${ROOMY}`, 'tmpfs', this.#directory])
    this.#isMounted = true
    await cp(aside, this.#directory, { recursive: true })
    await rm(aside, { recursive: true })
  }

  /** From now on there is room for nothing more. */
  async fill(): Promise<void> {
    const { blocks, bavail, bsize } = await statfs(this.#directory)
    const usedBytes = (blocks - bavail) * bsize
    await this.#resize(String(usedBytes + PAGE_BYTES))
  }

  async relieve(): Promise<void> {
    if (this.#isMounted) await this.#resize(ROOMY)
  }

  async close(): Promise<void> {
    if (!this.#isMounted) return
    await run('umount', ['-l', this.#directory])
    this.#isMounted = false
  }

  async #resize(size: string): Promise<void> {
    await run('mount', ['-o', `remount,size=${size}`, this.#directory])
  }
}
