import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { invariant, messageOf } from '@sluice/foundation'
import type { Tables } from './tables.js'

/** The database of one broker, or a transaction in it. */
export type Database = Kysely<Tables>

const CONNECT_TIMEOUT_MS = 5_000
const STATEMENT_TIMEOUT_MS = 120_000
/** PostgreSQL 15, as `server_version_num` has it. */
const VERSION_MIN = 150_000
const INT8_OID = 20
const DUPLICATE_DATABASE = '42P04'
const UNIQUE_VIOLATION = '23505'
const INVALID_CATALOG_NAME = '3D000'

/** The database cannot be used; the message says why, without the password of the address. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
}

export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string
  /** Connections at most. */
  readonly poolMax: number
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string
  /** Told of connections that break while nobody waits for them; they are replaced. */
  readonly onError?: ((error: Error) => void) | undefined
}

/**
 * Connects once, to see that it works. `destroy()` closes it.
 * @throws DatabaseError not reachable, no such database, or older than PostgreSQL 15
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolMax,
    application_name: options.applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    keepAlive: true,
    types,
  })
  const onError = options.onError ?? (() => undefined)
  pool.on('error', onError)
  // The pool listens to idle connections only; one that breaks inside a transaction must not end the process.
  pool.on('connect', (client) => client.on('error', onError))
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  try {
    await checkVersion(db)
    return db
  } catch (cause) {
    await db.destroy()
    if (cause instanceof DatabaseError) throw cause
    throw new DatabaseError(`cannot use the database ${shown(options.url)}: ${reasonOf(cause)}`, { cause })
  }
}

/** Creates the database of the address unless it is there. @throws DatabaseError */
export async function ensureDatabase(url: string): Promise<void> {
  const failure = await tryConnect(url)
  if (failure === undefined) return
  if ((failure as { code?: unknown }).code !== INVALID_CATALOG_NAME) {
    throw new DatabaseError(`cannot use the database ${shown(url)}: ${reasonOf(failure)}`, { cause: failure })
  }
  const server = new URL(url)
  const name = decodeURIComponent(server.pathname.slice(1))
  server.pathname = '/postgres'
  const client = new pg.Client(clientConfig(server.href))
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)} TEMPLATE template0 ENCODING 'UTF8'`)
  } catch (cause) {
    // Another process may have created it in between.
    const { code } = cause as { code?: unknown }
    if (code === DUPLICATE_DATABASE || code === UNIQUE_VIOLATION) return
    throw new DatabaseError(`cannot create the database ${shown(url)}: ${reasonOf(cause)}`, { cause })
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function tryConnect(url: string): Promise<unknown> {
  if (!URL.canParse(url)) throw new DatabaseError('the address of the database is not a URL')
  const client = new pg.Client(clientConfig(url))
  client.on('error', () => undefined)
  try {
    await client.connect()
    return undefined
  } catch (error) {
    return error
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function checkVersion(db: Database): Promise<void> {
  const { rows } = await sql<{ version: string }>`SHOW server_version_num`.execute(db)
  const version = Number(Object.values(rows[0] ?? {})[0])
  if (version >= VERSION_MIN) return
  throw new DatabaseError(`PostgreSQL ${Math.floor(version / 10_000)} is too old: 15 or newer is needed`)
}

function clientConfig(connectionString: string): pg.ClientConfig {
  return { connectionString, connectionTimeoutMillis: CONNECT_TIMEOUT_MS }
}

/** Offsets, indexes and times are far below 2^53, so a number holds each of them exactly. */
const types = new pg.TypeOverrides()
types.setTypeParser(INT8_OID, parseSafeInteger)

function parseSafeInteger(text: string): number {
  const value = Number(text)
  invariant(Number.isSafeInteger(value), `${text} is an integer below 2^53`)
  return value
}

function shown(url: string): string {
  if (!URL.canParse(url)) return '(not a URL)'
  const { host, pathname } = new URL(url)
  return `${host}${pathname}`
}

/** A refused connection is an aggregate without a message. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ')
  return messageOf(error)
}
