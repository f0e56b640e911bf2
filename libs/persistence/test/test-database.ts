import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { invariant } from '@sluice/foundation'
import { type Database, migrate, openDatabase } from '@sluice/persistence'
import pg from 'pg'

/** A database of one test file, with all tables. */
export interface TestDatabase {
  readonly url: string
  readonly db: Database
  /** Opens the same database once more, as another process would. */
  open(): Promise<Database>
  drop(): Promise<void>
}

const MIGRATIONS = new URL('../../../migrations/', import.meta.url)
const LOCK_KEY = 741_852

/** Clones a template that the first test file of a run migrates. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const base = baseUrl()
  const name = `test_${process.pid}_${performance.now().toString(36).replace('.', '_')}`
  await onServer(base, async (client) => {
    const template = await ensureTemplate(client, base)
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY FILE_COPY`)
  })
  const url = urlOf(base, name)
  const opened: Database[] = []
  const open = async (): Promise<Database> => {
    const db = await openDatabase({ url, poolMax: 4, applicationName: 'test' })
    opened.push(db)
    return db
  }
  return {
    url,
    db: await open(),
    open,
    drop: async () => {
      await Promise.all(opened.map((db) => db.destroy()))
      await onServer(base, (client) => client.query(`DROP DATABASE ${name} WITH (FORCE)`))
    },
  }
}

/** The server of this test run, from the global set-up. */
export function baseUrl(): string {
  const url = process.env['SLUICE_TEST_POSTGRES_URL']
  invariant(url !== undefined, 'the global set-up of jest has started PostgreSQL')
  return url
}

export function urlOf(base: string, database: string): string {
  const url = new URL(base)
  url.pathname = `/${database}`
  return url.href
}

export async function onServer(base: string, use: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: base })
  await client.connect()
  try {
    await use(client)
  } finally {
    await client.end()
  }
}

/** Test files run in several processes: one of them makes the template, the others wait. */
async function ensureTemplate(client: pg.Client, base: string): Promise<string> {
  const hash = createHash('sha256')
  for (const file of readdirSync(MIGRATIONS).sort()) hash.update(readFileSync(new URL(file, MIGRATIONS)))
  const template = `template_${hash.digest('hex').slice(0, 16)}`
  await client.query('SELECT pg_advisory_lock($1)', [LOCK_KEY])
  const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [template])
  if (rowCount === 0) {
    const draft = `${template}_draft`
    await client.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`)
    await client.query(`CREATE DATABASE ${draft} TEMPLATE template0 ENCODING 'UTF8'`)
    const db = await openDatabase({ url: urlOf(base, draft), poolMax: 1, applicationName: 'template' })
    await migrate(db)
    await db.destroy()
    await client.query(`ALTER DATABASE ${draft} RENAME TO ${template}`)
  }
  await client.query('SELECT pg_advisory_unlock($1)', [LOCK_KEY])
  return template
}
