import { accessSync, chmodSync, constants, existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { PostgresStartError } from './start-error.js'

/** /var/tmp is the second choice: systems that tidy it up forget files that were not used for a month. */
const CANDIDATES = ['/var/lib/sluice-postgres', '/var/tmp/sluice-postgres']

/** A directory that every user can enter and only root can change, for what the server's user must reach. */
export function storeOutsideHome(): string {
  for (const directory of CANDIDATES) {
    if (!existsSync(directory) && !writable(dirname(directory))) continue
    mkdirSync(directory, { recursive: true })
    if (!writable(directory)) continue
    chmodSync(directory, 0o755)
    return directory
  }
  throw new PostgresStartError(
    'DATA_DIRECTORY',
    `PostgreSQL does not run as root, the user it runs as cannot reach the data directory, and ${CANDIDATES.join(' and ')} cannot be written: choose a data directory that every user can reach`,
  )
}

function writable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK)
    return true
  } catch {
    return false
  }
}
