import pg from 'pg'

/** Where the brokers' databases are. */
export interface DatabaseServer {
  /** For the state file: where further databases are created. */
  readonly url: string
  /** Of the server we run; null when it is not ours. */
  readonly pid: number | null
  readonly port: number | null
  /** Creates the database when it is absent, and gives its address. */
  database(name: string): Promise<string>
  stop(): Promise<void>
}

/** PostgreSQL servers that exist already. Broker n uses server n, and again from the first after the last. */
export class ExistingServers implements DatabaseServer {
  readonly pid = null
  readonly port = null
  readonly #urls: readonly string[]
  #next = 0

  /** @param urls at least one, `postgres://…`, each with a database that may be connected to */
  constructor(urls: readonly string[]) {
    this.#urls = urls
  }

  get url(): string {
    return this.#urls[0]!
  }

  database(name: string): Promise<string> {
    const url = this.#urls[this.#next % this.#urls.length]!
    this.#next += 1
    return ensureDatabase(url, name)
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }
}

/** Creates a database on a server unless it is there, and gives its address. */
export async function ensureDatabase(serverUrl: string, name: string): Promise<string> {
  const client = new pg.Client({
    connectionString: serverUrl,
    application_name: 'sluice',
    connectionTimeoutMillis: 5000,
  })
  // A connection that breaks while idle says so here; the query that needs it fails as well.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name])
    if (found.rowCount === 0) await createDatabase(client, name)
  } catch (cause) {
    throw new Error(
      `database ${name} cannot be created on ${withoutPassword(serverUrl)}: ${sentenceOf(cause)}`,
      { cause },
    )
  } finally {
    await client.end().catch(() => undefined)
  }
  return databaseUrl(serverUrl, name)
}

/** The address of another database of the same server. */
function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${encodeURIComponent(name)}`
  return url.href
}

/** For messages and logs. */
function withoutPassword(address: string): string {
  const url = new URL(address)
  if (url.password !== '') url.password = '***'
  return url.href
}

async function createDatabase(client: pg.Client, name: string): Promise<void> {
  try {
    await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)} ENCODING 'UTF8' TEMPLATE template0`)
  } catch (error) {
    // Somebody else created it in between.
    const duplicate = error instanceof pg.DatabaseError && (error.code === '42P04' || error.code === '23505')
    if (!duplicate) throw error
  }
}

/** A refused connection on several addresses is an AggregateError without a message of its own. */
function sentenceOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(sentenceOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
