import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '@sluice/foundation/testing'
import { ServerProcesses } from '../src/demo/server-processes.js'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))

interface Answer {
  readonly status: number
  readonly text: string
}

/** `undefined` when the connection ended without a complete answer. */
function ask(port: number, method: string, path: string, body?: Uint8Array): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const sent = request({ host: '127.0.0.1', port, path, method, agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('error', () => resolve(undefined))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    sent.on('error', () => resolve(undefined))
    sent.end(body)
  })
}

let folder: string
let servers: ServerProcesses | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-server-test-'))
  mkdirSync(join(folder, 'output'))
})

afterEach(() => {
  servers?.kill()
  servers = undefined
  rmSync(folder, { recursive: true, force: true })
})

async function start(count: number): Promise<readonly number[]> {
  servers = await ServerProcesses.start({ count, outputId: 'test', folder, program: MAIN })
  return servers.ports
}

async function put(port: number, text: string): Promise<Answer | undefined> {
  return ask(port, 'PUT', '/', Buffer.from(text))
}

function file(port: number): string {
  return readFileSync(join(folder, 'output', `test-server-127.0.0.1${port}.csv`), 'utf8')
}

describe('three servers', () => {
  test('store what any of them is sent, in one order, and write it before /exit is answered', async () => {
    const ports = await start(3)
    for (const [i, port] of [...ports, ...ports].entries())
      expect(await put(port, `entry${i}`)).toEqual({ status: 200, text: '' })
    for (const port of ports) {
      expect(await ask(port, 'POST', '/exit')).toEqual({ status: 200, text: '' })
      expect(file(port)).toBe('entry0\nentry1\nentry2\nentry3\nentry4\nentry5\n')
    }
    await servers!.ended()
  })

  test('a crashed one gives no byte but to the three calls that end it, and comes back', async () => {
    const [one, two] = (await start(3)) as [number, number]
    await put(one, 'before')
    expect((await ask(one, 'POST', '/crash'))?.status).toBe(200)
    for (const [method, path] of [
      ['PUT', '/'],
      ['GET', '/status'],
      ['GET', '/log'],
      ['GET', '/nowhere'],
    ] as const)
      expect(await ask(one, method, path)).toBeUndefined()
    expect((await ask(one, 'POST', '/crash'))?.status).toBe(200)
    expect((await put(two, 'meanwhile'))?.status).toBe(200)
    expect((await ask(one, 'POST', '/recover'))?.status).toBe(200)
    await eventually(async () => {
      expect((await ask(one, 'GET', '/log'))?.text).toBe('before\nmeanwhile\n')
    }, 5000)
  })

  test('a crashed one writes on /exit what it had', async () => {
    const [one, two] = (await start(3)) as [number, number]
    await put(two, 'before')
    await ask(one, 'POST', '/crash')
    await put(two, 'after')
    expect((await ask(one, 'POST', '/exit'))?.status).toBe(200)
    expect(file(one)).toBe('before\n')
  })

  test('tell their state', async () => {
    const [one] = (await start(3)) as [number]
    await put(one, 'a')
    const status = JSON.parse((await ask(one, 'GET', '/status'))!.text) as Record<string, unknown>
    expect(status).toMatchObject({ logLength: 1, crashed: false })
    expect(Object.keys(status).sort()).toEqual(
      ['commitIndex', 'crashed', 'leader', 'logLength', 'node', 'role', 'term'].sort(),
    )
  })

  test('keep an entry of any bytes on one line', async () => {
    const [one] = (await start(1)) as [number]
    expect((await put(one, 'two\nlines\r\nø'))?.status).toBe(200)
    expect((await put(one, ''))?.status).toBe(200)
    expect((await ask(one, 'GET', '/log'))?.text).toBe('two\\nlines\\r\\nø\n\n')
  })
})

describe('what makes no sense', () => {
  test('is answered with an error, and nothing changes', async () => {
    const [one] = (await start(1)) as [number]
    expect((await ask(one, 'PUT', '/', new Uint8Array(64 * 1024)))?.status).toBe(200)
    const refused = await ask(one, 'PUT', '/', new Uint8Array(64 * 1024 + 1))
    expect(refused?.status).toBe(413)
    expect(JSON.parse(refused!.text)).toMatchObject({ component: 'log-server', retriable: false })
    expect((await ask(one, 'DELETE', '/'))?.status).toBe(405)
    expect((await ask(one, 'GET', '/crash'))?.status).toBe(405)
    expect((await ask(one, 'PUT', '/elsewhere'))?.status).toBe(404)
    expect((await ask(one, 'GET', '/log'))?.text.split('\n')).toHaveLength(2)
  })

  test('an upgrade of somebody who is no node is refused', async () => {
    const [one] = (await start(1)) as [number]
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(one, '127.0.0.1')
      let text = ''
      socket.on('data', (chunk) => (text += chunk.toString()))
      socket.on('close', () => resolve(text))
      socket.on('error', reject)
      socket.write('GET /peers HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: sluice-log/1\r\n\r\n')
    })
    expect(answer).toMatch(/^HTTP\/1\.1 403 .*\r\nx-log-refused: another output id or another list/s)
  })

  test.each<[string, readonly string[], RegExp]>([
    ['too few arguments', ['run'], /usage: log-server/],
    ['a node that is not in the list', ['run', 'a:1', 'b:2'], /a:1 is not in the list of nodes/],
  ])('%s ends the program with code 2', (_what, args, message) => {
    const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { cwd: folder, encoding: 'utf8' })
    expect(status).toBe(2)
    expect(stderr).toMatch(message)
  })

  test('a port in use, and a folder without output, end it with code 1', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const node = `127.0.0.1:${port}`
    const run = (cwd: string): { status: number | null; stderr: string } =>
      spawnSync(process.execPath, [MAIN, 'run', node, node], { cwd, encoding: 'utf8' })
    expect(run(folder)).toMatchObject({
      status: 1,
      stderr: `log-server: ${node} is in use by another process\n`,
    })
    expect(run(tmpdir())).toMatchObject({ status: 1, stderr: expect.stringMatching(/no folder output/) })
    server.close()
  })
})
