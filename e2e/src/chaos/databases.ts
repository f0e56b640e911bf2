import { execFile } from 'node:child_process'
import { chmod, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { type PostgresServer, startPostgres } from '@sluice/postgres'

const PREFIX = 'sluice_broker_'

const DEADLOCK_DETECTED = '40P01'
/** Of a broker that stands still in a transaction. */
const LOCK_MS = 500

/** One PostgreSQL server for each broker, so that each can be stopped, killed and started by itself. */
export class Databases {
  readonly #directory: string
  readonly #servers = new Map<number, PostgresServer>()
  readonly #ports = new Map<number, number>()

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** @param directory exists; the servers may run as another user, who must be able to enter it */
  static async start(directory: string, brokerIds: readonly number[]): Promise<Databases> {
    await chmod(directory, 0o755)
    const databases = new Databases(directory)
    try {
      for (const id of brokerIds) await databases.startOne(id)
      return databases
    } catch (error) {
      await databases.stopAll()
      throw error
    }
  }

  /** As the cluster's settings want them: broker n uses server n. */
  get urls(): string {
    return Array.from(this.#servers.values(), (server) => server.url('postgres')).join(',')
  }

  /** Of a broker's own database. */
  url(brokerId: number): string {
    return this.#server(brokerId).url(`${PREFIX}${brokerId}`)
  }

  async startOne(brokerId: number): Promise<void> {
    const port = this.#ports.get(brokerId)
    const server = await startPostgres({
      dataDirectory: this.#dataDirectory(brokerId),
      durable: true,
      ...(port === undefined ? {} : { port }),
    })
    this.#servers.set(brokerId, server)
    this.#ports.set(brokerId, server.port)
  }

  /** Waits for nobody's transaction: connections are ended. */
  async stopOne(brokerId: number): Promise<void> {
    await this.#server(brokerId).stop()
  }

  /** The server and everything it runs ends at once; the next start recovers. */
  async killOne(brokerId: number): Promise<void> {
    const server = this.#server(brokerId)
    process.kill(server.pid, 'SIGKILL')
    await server.exited
  }

  /** Everything in a broker's database is gone, while the broker runs: tables, rows, migrations. */
  async emptyOne(brokerId: number): Promise<void> {
    for (;;) {
      try {
        // A broker that stands still in a transaction would hold its locks for ever.
        await this.#query(
          brokerId,
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid();
          DROP SCHEMA public CASCADE;
          CREATE SCHEMA public`,
        )
        return
      } catch (error) {
        // The broker is back already, and locks the same tables in another order: one of the two has to yield.
        if ((error as { code?: unknown }).code !== DEADLOCK_DETECTED) throw error
      }
    }
  }

  /** A copy of a broker's whole server, of now. */
  async backUp(brokerId: number): Promise<void> {
    await this.#whileDown(brokerId, async (data, backup) => {
      await rm(backup, { recursive: true, force: true })
      await copy(data, backup)
    })
  }

  /** The server is as it was when it was backed up: the broker goes on with it as it is. */
  async restore(brokerId: number): Promise<void> {
    await this.#whileDown(brokerId, async (data, backup) => {
      await rm(data, { recursive: true })
      await copy(backup, data)
    })
  }

  /** By name, the partitions that the broker's database has anything of; none when it has no tables. */
  async ranges(
    brokerId: number,
  ): Promise<ReadonlyMap<string, { readonly start: number; readonly end: number }>> {
    try {
      const rows = await this.#query(
        brokerId,
        `SELECT topic || '.' || number AS partition, log_start, next_offset FROM partition_state`,
      )
      return new Map(
        rows.map((row) => [
          String(row['partition']),
          { start: Number(row['log_start']), end: Number(row['next_offset']) },
        ]),
      )
    } catch {
      return new Map()
    }
  }

  /**
   * The broker writes no messages to its database until the answer is called; what it was about to write is not
   * written then either. Does nothing to a database that cannot be reached.
   */
  async holdUp(brokerId: number): Promise<() => Promise<void>> {
    const client = new pg.Client({ connectionString: this.url(brokerId) })
    // The server may be stopped meanwhile.
    client.on('error', () => undefined)
    try {
      await client.connect()
      await client.query(
        `BEGIN; SET LOCAL lock_timeout = '${LOCK_MS}ms'; LOCK TABLE partition_state IN SHARE MODE`,
      )
    } catch {
      await client.end().catch(() => undefined)
      return () => Promise.resolve()
    }
    return async () => {
      try {
        await client.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()`,
        )
        await client.end()
      } catch {
        await client.end().catch(() => undefined)
      }
    }
  }

  async stopAll(): Promise<void> {
    await Promise.all(Array.from(this.#servers.values(), (server) => server.stop()))
  }

  async #query(brokerId: number, statement: string): Promise<readonly Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: this.url(brokerId) })
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(statement)).rows
    } finally {
      await client.end()
    }
  }

  async #whileDown(brokerId: number, run: (data: string, backup: string) => Promise<void>): Promise<void> {
    await this.stopOne(brokerId)
    try {
      const data = this.#dataDirectory(brokerId)
      await run(data, `${data}.backup`)
    } finally {
      await this.startOne(brokerId)
    }
  }

  #dataDirectory(brokerId: number): string {
    return path.join(this.#directory, `postgres-${brokerId}`)
  }

  #server(brokerId: number): PostgresServer {
    const server = this.#servers.get(brokerId)
    if (server === undefined) throw new Error(`broker ${brokerId} has no PostgreSQL server`)
    return server
  }
}

/** With owners and modes, which the server insists on. */
async function copy(from: string, to: string): Promise<void> {
  await promisify(execFile)('cp', ['-a', from, to])
}
