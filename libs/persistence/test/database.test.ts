import { afterEach, expect, test } from '@jest/globals'
import { BUILD_VERSION } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { type Database, DatabaseError, ensureDatabase, migrate, openDatabase } from '@sluice/persistence'
import { sql } from 'kysely'
import { baseUrl, onServer, urlOf } from './test-database.js'

const NAME = `made "here" ${process.pid}`
const url = urlOf(baseUrl(), encodeURIComponent(NAME))
const opened: Database[] = []

afterEach(async () => {
  await Promise.all(opened.splice(0).map((db) => db.destroy()))
  await onServer(baseUrl(), (client) =>
    client.query(`DROP DATABASE IF EXISTS ${client.escapeIdentifier(NAME)}`),
  )
})

async function open(onError?: (error: Error) => void): Promise<Database> {
  const db = await openDatabase({ url, poolMax: 2, applicationName: 'sluice-test', onError })
  opened.push(db)
  return db
}

test('a database is created once, and migrated by several processes at once', async () => {
  await ensureDatabase(url)
  await ensureDatabase(url)
  const [first, second] = [await open(), await open()]
  await Promise.all([migrate(first), migrate(second)])
  await migrate(first)
  expect(await first.selectFrom('messages').selectAll().execute()).toEqual([])
})

test('what a later version has added is left alone, in whatever order it came', async () => {
  await ensureDatabase(url)
  const db = await open()
  await migrate(db)
  await sql`INSERT INTO kysely_migration VALUES ('0000_earlier_number', now()), ('9999_of_the_future', now())`.execute(
    db,
  )
  await migrate(db)
  await sql`DELETE FROM kysely_migration WHERE name = '0003_metadata'`.execute(db)
  // It is run again, out of its order: that its tables are there already is what it fails with.
  await expect(migrate(db)).rejects.toThrow('already exists')
})

test('a later version whose tables this one cannot use is refused before anything is changed, both versions named', async () => {
  await ensureDatabase(url)
  const db = await open()
  await migrate(db)
  await sql`CREATE TABLE IF NOT EXISTS incompatible_migrations (name text PRIMARY KEY, version text NOT NULL)`.execute(
    db,
  )
  await sql`INSERT INTO incompatible_migrations VALUES ('9999_of_the_future', '7.0.0')`.execute(db)
  await migrate(db)
  await sql`INSERT INTO kysely_migration VALUES ('9999_of_the_future', now())`.execute(db)
  await sql`DELETE FROM kysely_migration WHERE name = '0013_log_configuration'`.execute(db)
  await expect(migrate(db)).rejects.toMatchObject({
    code: 'UNSUPPORTED_VERSION',
    outcome: 'no',
    message: expect.stringMatching(
      new RegExp(`version 7.0.0 changed .*9999_of_the_future.* version ${BUILD_VERSION} cannot run`),
    ),
  })
  const { rows } = await sql`SELECT FROM kysely_migration WHERE name = '0013_log_configuration'`.execute(db)
  expect(rows).toEqual([])
})

test('two processes may create it at once', async () => {
  await Promise.all([ensureDatabase(url), ensureDatabase(url), ensureDatabase(url)])
  await open()
})

test('integers of 64 bits are numbers, and one that no number holds is a bug', async () => {
  await ensureDatabase(url)
  const db = await open()
  const { rows } = await sql<{ n: number }>`SELECT 9007199254740991::bigint AS n`.execute(db)
  expect(rows).toEqual([{ n: Number.MAX_SAFE_INTEGER }])
  await expect(sql`SELECT 9007199254740992::bigint`.execute(db)).rejects.toThrow('is an integer below 2^53')
})

test('a connection that breaks is reported and replaced, also in the middle of a transaction', async () => {
  await ensureDatabase(url)
  const errors: Error[] = []
  const db = await open((error) => errors.push(error))
  const broken = db.transaction().execute(async (transaction) => {
    const { rows } = await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(transaction)
    await onServer(baseUrl(), (client) => client.query('SELECT pg_terminate_backend($1)', [rows[0]!.pid]))
    await eventually(() => expect(errors.length).toBeGreaterThan(0))
    await sql`SELECT 1`.execute(transaction)
  })
  await expect(broken).rejects.toThrow()
  expect((await sql`SELECT 1 AS one`.execute(db)).rows).toEqual([{ one: 1 }])
})

test.each([
  [
    'a server that is not there',
    'postgres://u:secret@127.0.0.1:1/x',
    /cannot use the database 127\.0\.0\.1:1\/x/,
  ],
  ['what is no URL', 'nonsense', /not a URL/],
])('%s is refused in words that keep the password', async (_case, address, message) => {
  for (const attempt of [
    () => openDatabase({ url: address, poolMax: 1, applicationName: 'test' }),
    () => ensureDatabase(address),
  ]) {
    const failure = await attempt().then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(failure).toBeInstanceOf(DatabaseError)
    expect((failure as Error).message).toMatch(message)
    expect((failure as Error).message).not.toContain('secret')
  }
})

test('a database that does not exist is not opened', async () => {
  await expect(open()).rejects.toThrow(/does not exist/)
})
