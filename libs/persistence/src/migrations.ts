import { readdir, readFile } from 'node:fs/promises'
import { type Migration, Migrator, sql } from 'kysely'
import { BrokerError } from '@sluice/domain'
import { BUILD_VERSION, toError } from '@sluice/foundation'
import type { Database } from './database.js'

/** The same folder from the sources and from what is built of them. */
const FOLDER = new URL('../../../migrations/', import.meta.url)
/** Where the migrator notes what it has done; the name is its own. */
const DONE = 'kysely_migration'
/** Where a migration says that versions which do not have it cannot run on its tables. */
const INCOMPATIBLE = 'incompatible_migrations'

/**
 * Brings the tables up to date. Safe to run from several processes at once. What a later version has added
 * is left alone: its migrations keep the tables usable for this one, or say that they do not.
 * @throws BrokerError UNSUPPORTED_VERSION, before anything is changed
 */
export async function migrate(db: Database): Promise<void> {
  // Looked up first: the migrator holds a connection, and may hold the only one.
  const migrations = await migrationsFor(db)
  const migrator = new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve(migrations) },
    // Versions are developed side by side: a lower number may come later.
    allowUnorderedMigrations: true,
  })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw toError(error)
}

/** Every `.sql` file is a migration, in the order of their numbers; those of later versions do nothing here. */
async function migrationsFor(db: Database): Promise<Record<string, Migration>> {
  const known = await sqlFiles()
  const unknown = (await namesIn(db, DONE)).filter((name) => !(name in known))
  if (unknown.length > 0) await refuseIncompatible(db, unknown)
  const passed = unknown.map((name) => [name, { up: () => Promise.resolve() }] as const)
  return { ...known, ...Object.fromEntries(passed) }
}

async function sqlFiles(): Promise<Record<string, Migration>> {
  const migrations: Record<string, Migration> = {}
  for (const file of await readdir(FOLDER)) {
    if (!file.endsWith('.sql')) continue
    const text = await readFile(new URL(file, FOLDER), 'utf8')
    migrations[file.slice(0, -'.sql'.length)] = {
      up: async (db) => {
        await sql.raw(text).execute(db)
      },
    }
  }
  return migrations
}

async function refuseIncompatible(db: Database, unknown: readonly string[]): Promise<void> {
  const incompatible = new Set(await namesIn(db, INCOMPATIBLE))
  const name = unknown.find((one) => incompatible.has(one))
  if (name === undefined) return
  const { rows } = await sql<{ version: string }>`
    SELECT version FROM ${sql.table(INCOMPATIBLE)} WHERE name = ${name}`.execute(db)
  throw new BrokerError(
    'UNSUPPORTED_VERSION',
    `version ${rows[0]?.version ?? 'unknown'} changed the tables of this database (${name}) so that version ${BUILD_VERSION} cannot run on them: start the later version; nothing was changed`,
    { component: 'broker', outcome: 'no' },
  )
}

/** Nothing when there is no such table yet. */
async function namesIn(db: Database, table: string): Promise<readonly string[]> {
  const found = await sql<{ there: boolean }>`SELECT to_regclass(${table}) IS NOT NULL AS there`.execute(db)
  if (found.rows[0]?.there !== true) return []
  const { rows } = await sql<{ name: string }>`SELECT name FROM ${sql.table(table)}`.execute(db)
  return rows.map(({ name }) => name)
}
