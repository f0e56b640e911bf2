import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type PostgresServer, startPostgres } from './postgres-server.js'
import { processToken, tokenIsAlive } from './process-table.js'

/** A server whose data goes when it stops. */
export interface TemporaryServer {
  readonly port: number
  url(database: string): string
  createDatabase(name: string): Promise<string>
  stop(): Promise<void>
}

/**
 * Starts a server for tests, with its data in the system's temporary directory. What killed processes
 * left there by the same name is removed.
 *
 * @param name letters and digits
 * @throws PostgresStartError
 */
export async function startTemporaryPostgres({ name }: { readonly name: string }): Promise<TemporaryServer> {
  const prefix = `sluice-${name}.`
  for (const entry of readdirSync(tmpdir())) {
    if (!entry.startsWith(prefix)) continue
    const token = entry.slice(prefix.length).split('.')[0]!
    if (!tokenIsAlive(token)) rmSync(join(tmpdir(), entry), { recursive: true, force: true })
  }
  const home = mkdtempSync(join(tmpdir(), `${prefix}${processToken(process.pid)}.`))
  // The server may run as another user than we.
  chmodSync(home, 0o755)
  const remove = (): void => rmSync(home, { recursive: true, force: true, maxRetries: 3 })
  let server: PostgresServer
  try {
    server = await startPostgres({ dataDirectory: join(home, 'data'), durable: false })
  } catch (error) {
    remove()
    throw error
  }
  return {
    port: server.port,
    url: (database) => server.url(database),
    createDatabase: (database) => server.createDatabase(database),
    stop: async () => {
      await server.stop()
      remove()
    },
  }
}
