import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import {
  type PostgresOptions,
  type PostgresServer,
  PostgresStartError,
  startPostgres,
} from '@sluice/postgres'
import pg from 'pg'

let folder: string
let dataDirectory: string
let servers: PostgresServer[]
let parents: ChildProcess[]

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice-postgres-test-'))
  chmodSync(folder, 0o755)
  dataDirectory = path.join(folder, 'data')
  servers = []
  parents = []
})

afterEach(async () => {
  for (const parent of parents) parent.kill('SIGKILL')
  await Promise.all(servers.map((server) => server.stop()))
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})

async function start(options: Partial<PostgresOptions> = {}): Promise<PostgresServer> {
  const server = await startPostgres({ dataDirectory, durable: false, ...options })
  servers.push(server)
  return server
}

async function query(server: { url(database: string): string }, text: string, database = 'postgres') {
  const client = new pg.Client({ connectionString: server.url(database) })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

/** Another Node process that starts the server, prints its pid and port, and stays. */
async function startInOtherProcess(): Promise<{ parent: ChildProcess; pid: number; port: number }> {
  const script = `
    const [module, dataDirectory] = process.argv.slice(1)
    const { startPostgres } = await import(module)
    const server = await startPostgres({ dataDirectory, durable: false })
    console.log(JSON.stringify({ pid: server.pid, port: server.port }))
    setInterval(() => undefined, 1000)`
  const module = path.resolve(import.meta.dirname, '../dist/index.js')
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script, module, dataDirectory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  parents.push(parent)
  const [line] = (await once(parent.stdout, 'data')) as [Buffer]
  return { parent, ...(JSON.parse(line.toString()) as { pid: number; port: number }) }
}

function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return existsSync('/proc/self/stat') ? false : signalReaches(pid)
  }
}

function signalReaches(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('a server of our own', () => {
  test('answers on the loopback interface, in UTF-8 and UTC, and keeps its data over a restart', async () => {
    const logFile = path.join(folder, 'server.log')
    const first = await start({ logFile })
    await first.createDatabase('it "is" ours')
    await first.createDatabase('it "is" ours')
    await query(first, 'CREATE TABLE kept AS SELECT 42 AS answer', 'it "is" ours')
    expect(first.url('postgres')).toBe(`postgres://sluice@127.0.0.1:${first.port}/postgres`)
    expect(
      await query(
        first,
        `SELECT current_setting('server_encoding') AS encoding, current_setting('timezone') AS zone`,
      ),
    ).toEqual([{ encoding: 'UTF8', zone: 'UTC' }])
    await first.stop()
    await first.stop()
    expect(isAlive(first.pid)).toBe(false)
    expect(readFileSync(logFile, 'utf8')).toContain('ready to accept connections')

    const second = await start()
    expect(await query(second, 'SELECT answer FROM kept', 'it "is" ours')).toEqual([{ answer: 42 }])
  })

  test('that is durable keeps what was committed when it is killed', async () => {
    const first = await start({ durable: true })
    expect(await query(first, 'SHOW fsync')).toEqual([{ fsync: 'on' }])
    await query(first, 'CREATE TABLE kept AS SELECT 42 AS answer')
    process.kill(first.pid, 'SIGKILL')
    expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' })

    const second = await start({ durable: true })
    expect(await query(second, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
  })

  test('ends with its parent, and starts again at once', async () => {
    const { parent, pid } = await startInOtherProcess()
    parent.kill('SIGKILL')
    const second = await start()
    expect(second.pid).not.toBe(pid)
    expect(isAlive(pid)).toBe(false)
    expect(await query(second, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })

  test('of a killed parent that left it running is stopped first', async () => {
    // A stopped process does not get the signal of its parent's death, as if there were none.
    const { parent, pid } = await startInOtherProcess()
    process.kill(pid, 'SIGSTOP')
    parent.kill('SIGKILL')
    await once(parent, 'exit')
    expect(isAlive(pid)).toBe(true)
    process.kill(pid, 'SIGCONT')
    const next = await start()
    expect(isAlive(pid)).toBe(false)
    expect(next.pid).not.toBe(pid)
  })
})

describe('a start is refused', () => {
  test('while another process runs the server, naming both', async () => {
    const { parent, pid, port } = await startInOtherProcess()
    const failure = await start().catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(PostgresStartError)
    expect(failure).toMatchObject({ reason: 'ALREADY_RUNNING' })
    expect((failure as Error).message).toContain(
      `process ${pid}, port ${port}, started by process ${parent.pid!}`,
    )
    expect(isAlive(pid)).toBe(true)
  })

  test('while this process runs the server, which goes on', async () => {
    const first = await start()
    await expect(start()).rejects.toMatchObject({ reason: 'ALREADY_RUNNING' })
    expect(await query(first, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })

  test('when the port asked for is taken', async () => {
    const listener = createServer().listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { port } = listener.address() as { port: number }
    try {
      await expect(start({ port })).rejects.toMatchObject({ reason: 'PORT_TAKEN' })
    } finally {
      listener.close()
    }
    const server = await start({ port })
    expect(server.port).toBe(port)
  })

  test('on the data of another version', async () => {
    mkdirSync(dataDirectory)
    writeFileSync(path.join(dataDirectory, 'PG_VERSION'), '9.6\n')
    await expect(start()).rejects.toThrow(/holds data of PostgreSQL 9/)
  })

  test('on a folder that holds something else', async () => {
    mkdirSync(dataDirectory)
    writeFileSync(path.join(dataDirectory, 'thesis.txt'), 'years of work')
    await expect(start()).rejects.toThrow('is not empty and holds no PostgreSQL data')
    expect(readFileSync(path.join(dataDirectory, 'thesis.txt'), 'utf8')).toBe('years of work')
  })

  test('when the binaries asked for do not run', async () => {
    await expect(start({ binaryDirectory: folder })).rejects.toMatchObject({ reason: 'NO_BINARIES' })
  })
})

describe('what a start finds is cleaned up', () => {
  test('a half-made data directory', async () => {
    // The name says who made it: a process that is gone.
    const unfinished = `${dataDirectory}.init.4194303-1.1`
    mkdirSync(unfinished)
    writeFileSync(path.join(unfinished, 'PG_VERSION'), '18\n')
    const server = await start()
    expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    expect(existsSync(unfinished)).toBe(false)
  })

  test('a folder that only its owner can enter, whoever that is', async () => {
    chmodSync(folder, 0o700)
    const first = await start()
    await query(first, 'CREATE TABLE kept AS SELECT 42 AS answer')
    await first.stop()
    const second = await start()
    expect(await query(second, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
    expect(existsSync(path.join(folder, 'data', 'PG_VERSION'))).toBe(true)
  })

  test('a process file that names a process which is no server', async () => {
    const first = await start()
    const file = path.join(dataDirectory, 'postmaster.pid')
    const content = readFileSync(file, 'utf8')
    await first.stop()
    writeFileSync(file, content.replace(/^\d+/, String(process.pid)))
    const second = await start()
    expect(await query(second, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })
})
