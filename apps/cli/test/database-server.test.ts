import { describe, expect, test } from '@jest/globals'
import pg from 'pg'
import { ensureDatabase, ExistingServers } from '../src/database-server.js'
import { EmbeddedPostgres } from '../src/embedded-postgres.js'
import { isAlive, signalProcess } from '../src/process-table.js'
import { systemClock } from '@sluice/foundation'
import { join } from 'node:path'
import { until, World } from './world.js'

const server = process.env['SLUICE_TEST_POSTGRES_URL'] ?? ''
const name = (what: string): string => `cli_${what}_${process.pid}`

async function ask(url: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows
  } finally {
    await client.end()
  }
}

describe('a database on an existing server', () => {
  test('is created once, also when two ask at the same time, and keeps its data', async () => {
    const [url] = await Promise.all([ensureDatabase(server, name('a')), ensureDatabase(server, name('a'))])
    await ask(url, 'CREATE TABLE kept (id int)')
    expect(await ensureDatabase(server, name('a'))).toBe(url)
    expect(await ask(url, 'SELECT count(*)::int AS count FROM kept')).toEqual([{ count: 0 }])
    expect(await ask(url, 'SHOW server_encoding')).toEqual([{ server_encoding: 'UTF8' }])
    await ask(server, `DROP DATABASE ${name('a')}`)
  })

  test('is on the next server for the next broker, and around again', async () => {
    const other = new URL(server)
    other.searchParams.set('application_name', 'other')
    const servers = new ExistingServers([server, other.href])
    const urls = [
      await servers.database(name('b')),
      await servers.database(name('c')),
      await servers.database(name('d')),
    ]
    expect(urls.map((url) => new URL(url).search)).toEqual(['', '?application_name=other', ''])
    for (const what of ['b', 'c', 'd']) await ask(server, `DROP DATABASE ${name(what)}`)
  })

  test('that cannot be reached is named without its password', async () => {
    const failure = ensureDatabase('postgres://me:secret@127.0.0.1:1/x', 'broker')
    await expect(failure).rejects.toThrow(
      'database broker cannot be created on postgres://me:***@127.0.0.1:1/x: ',
    )
    await expect(failure).rejects.not.toThrow('secret')
  })
})

describe('the embedded server', () => {
  test('is started again when it is killed, on the same port with the same data, until it is stopped', async () => {
    const world = new World()
    const postgres = await EmbeddedPostgres.start({
      dataDirectory: join(world.directory, 'postgres'),
      logFile: join(world.directory, 'postgres.log'),
      port: undefined,
      restartDelayMs: 10,
      terminal: world.terminal,
      clock: systemClock,
      changed: () => undefined,
    })
    try {
      const { port, pid } = postgres
      const url = await postgres.database('kept')
      await ask(url, 'CREATE TABLE kept AS SELECT 1 AS id')
      signalProcess(pid!, 'SIGKILL')
      await until(() => world.printed.includes('PostgreSQL serves again'), 20_000)
      expect(postgres.port).toBe(port)
      expect(postgres.pid).not.toBe(pid)
      expect(await ask(url, 'SELECT * FROM kept')).toEqual([{ id: 1 }])
    } finally {
      const { pid } = postgres
      await postgres.stop()
      expect(isAlive(pid!)).toBe(false)
      world.remove()
    }
  })
})
