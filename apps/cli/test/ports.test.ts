import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { PortClaims } from '../src/port-claims.js'
import { choosePorts, isPortFree } from '../src/ports.js'

let claims = new PortClaims()

let server: Server | undefined

afterEach(() => {
  claims.release()
  claims = new PortClaims()
  server?.close()
  server = undefined
})

async function occupy(): Promise<number> {
  server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

describe('ports', () => {
  test('that were used before are kept when they are free', async () => {
    const free = (await choosePorts('127.0.0.1', [{ name: 'a', preferred: [] }], claims)).get('a')!
    expect((await choosePorts('127.0.0.1', [{ name: 'a', preferred: [free] }], claims)).get('a')).toBe(free)
  })

  test('that are taken are replaced', async () => {
    const taken = await occupy()
    expect(await isPortFree('127.0.0.1', taken)).toBe(false)
    const chosen = (await choosePorts('127.0.0.1', [{ name: 'a', preferred: [taken] }], claims)).get('a')!
    expect(chosen).not.toBe(taken)
    expect(await isPortFree('127.0.0.1', chosen)).toBe(true)
  })

  test('of one cluster are all different', async () => {
    const free = (await choosePorts('127.0.0.1', [{ name: 'a', preferred: [] }], claims)).get('a')!
    const wishes = ['a', 'b', 'c'].map((name) => ({ name, preferred: [free] }))
    expect(new Set((await choosePorts('127.0.0.1', wishes, claims)).values()).size).toBe(3)
  })
})

test('a port that another cluster means to use is not chosen, though nobody listens there yet', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-claims-'))
  try {
    const wish = [{ name: 'a', preferred: [] }]
    const port = (await choosePorts('127.0.0.1', wish, new PortClaims(directory))).get('a')!
    // Held by a process that is alive, which is this one under another start.
    const other = new PortClaims(directory)
    expect(other.claim(port)).toBe(false)
    const chosen = (await choosePorts('127.0.0.1', [{ name: 'a', preferred: [port] }], other)).get('a')!
    expect(chosen).not.toBe(port)
  } finally {
    rmSync(directory, { recursive: true })
  }
})
