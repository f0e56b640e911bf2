import { readdir, readFile } from 'node:fs/promises'
import { type Migration, type MigrationProvider, Migrator, sql } from 'kysely'
import { toError } from '@sluice/foundation'
import type { Database } from './database.js'

/** The same folder from the sources and from what is built of them. */
const FOLDER = new URL('../../../migrations/', import.meta.url)

/** Brings the tables up to date. Safe to run from several processes at once. */
export async function migrate(db: Database): Promise<void> {
  const migrator = new Migrator({ db, provider: sqlFiles })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw toError(error)
}

/** Every `.sql` file is a migration, in the order of their numbers. */
const sqlFiles: MigrationProvider = {
  async getMigrations() {
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
  },
}
