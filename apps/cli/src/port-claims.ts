import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { DataLock, LockHeldError } from './data-lock.js'

/**
 * Ports that a cluster of this machine means to use, from the moment they are chosen until it ends: a
 * process that is only being started does not listen yet, and would lose its port to another cluster.
 */
export class PortClaims {
  readonly #directory: string
  readonly #claims = new Map<number, DataLock>()

  /** @param directory the same for all clusters that shall not get in each other's way */
  constructor(directory = join(tmpdir(), `sluice-ports-${userInfo().uid}`)) {
    this.#directory = directory
  }

  /** False when another cluster that is alive has claimed it. */
  claim(port: number): boolean {
    if (this.#claims.has(port)) return true
    try {
      this.#claims.set(port, DataLock.take(join(this.#directory, String(port))))
      return true
    } catch (error) {
      if (error instanceof LockHeldError) return false
      throw error
    }
  }

  release(): void {
    for (const claim of this.#claims.values()) claim.release()
    this.#claims.clear()
  }
}
