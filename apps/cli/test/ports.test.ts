import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { choosePorts, isPortFree } from '../src/ports.js'

let server: Server | undefined

afterEach(() => {
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
    const free = (await choosePorts('127.0.0.1', [{ name: 'a', preferred: [] }])).get('a')!
    expect((await choosePorts('127.0.0.1', [{ name: 'a', preferred: [free] }])).get('a')).toBe(free)
  })

  test('that are taken are replaced', async () => {
    const taken = await occupy()
    expect(await isPortFree('127.0.0.1', taken)).toBe(false)
    const chosen = (await choosePorts('127.0.0.1', [{ name: 'a', preferred: [taken] }])).get('a')!
    expect(chosen).not.toBe(taken)
    expect(await isPortFree('127.0.0.1', chosen)).toBe(true)
  })

  test('of one cluster are all different', async () => {
    const free = (await choosePorts('127.0.0.1', [{ name: 'a', preferred: [] }])).get('a')!
    const wishes = ['a', 'b', 'c'].map((name) => ({ name, preferred: [free] }))
    expect(new Set((await choosePorts('127.0.0.1', wishes)).values()).size).toBe(3)
  })
})
