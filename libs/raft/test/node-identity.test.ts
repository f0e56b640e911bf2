import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { NodeId } from '../src/core/types.js'
import { AddressBookError, decodeAddressBook, encodeAddressBook } from '../src/node/address-book.js'
import { AddressCollisionError, IdentityError, InvalidAddressError } from '../src/node/errors.js'
import { KnownPeers } from '../src/node/known-peers.js'
import { addressesById, nodeIdOf, parseNodeAddress } from '../src/node/node-address.js'
import { clusterIdOf, openIdentity, readIdentity } from '../src/node/node-identity.js'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raft-identity-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

const clusterId = clusterIdOf('test')
const uuid = (byte: number): Uint8Array => new Uint8Array(16).fill(byte)
const id = (value: number): NodeId => value as NodeId

describe('an address', () => {
  test.each([
    ['localhost:7001', 'localhost:7001', 'localhost', 7001],
    ['LocalHost:7001', 'localhost:7001', 'localhost', 7001],
    ['10.0.0.1:65535', '10.0.0.1:65535', '10.0.0.1', 65_535],
    ['[::1]:1', '[::1]:1', '::1', 1],
    ['::1:7001', '[::1]:7001', '::1', 7001],
  ])('%s has one spelling, a host and a port', (given, text, host, port) => {
    expect(parseNodeAddress(given)).toEqual({ text, host, port, id: nodeIdOf(text) })
  })

  test.each([
    '',
    'localhost',
    ':7001',
    'localhost:',
    'localhost:0',
    'localhost:65536',
    'localhost:7e3',
    'a b:1',
    '-:1',
    'a/b:1',
    '[x]:1x',
  ])('%j is refused', (text) => {
    expect(() => parseNodeAddress(text)).toThrow(InvalidAddressError)
  })

  test('gives the same positive id everywhere', () => {
    expect(nodeIdOf('localhost:7001')).toBe(3_565_214_970)
    expect(nodeIdOf('')).toBe(1)
  })

  test('collides with another of the same id by a typed error, never silently', () => {
    const a = parseNodeAddress('a:1')
    const b = { ...parseNodeAddress('b:1'), id: a.id }
    expect(() => addressesById([a, b])).toThrow(AddressCollisionError)
    expect(addressesById([a, a]).size).toBe(1)
  })
})

describe('an address book', () => {
  test('comes back as it was, whatever the order', () => {
    const addresses = ['b:2', 'a:1', '[::1]:3'].map(parseNodeAddress)
    const bytes = encodeAddressBook(addresses)
    expect(encodeAddressBook([...addresses].reverse())).toEqual(bytes)
    expect([...decodeAddressBook(bytes).values()].map((a) => a.text).sort()).toEqual([
      '[::1]:3',
      'a:1',
      'b:2',
    ])
  })

  test('is empty for an empty context', () => {
    expect(decodeAddressBook(new Uint8Array(0)).size).toBe(0)
  })

  test('refuses bytes that are none, and every truncation', () => {
    const bytes = encodeAddressBook([parseNodeAddress('a:1'), parseNodeAddress('b:2')])
    for (let size = 1; size < bytes.length; size++)
      expect(() => decodeAddressBook(bytes.subarray(0, size))).toThrow(AddressBookError)
    expect(() => decodeAddressBook(Uint8Array.of(0x92, 2, 0x90))).toThrow(AddressBookError)
    expect(() => decodeAddressBook(Uint8Array.of(0x92, 1, 0x91, 7))).toThrow(AddressBookError)
  })
})

describe('an identity', () => {
  test('is drawn once for a directory and read back afterwards, with the start counted', async () => {
    const first = await openIdentity(join(directory, 'deep', 'er'), {
      clusterId,
      address: 'a:1',
      members: ['a:1', 'b:1'],
    })
    const again = await openIdentity(join(directory, 'deep', 'er'), {
      clusterId,
      address: 'a:1',
      members: ['a:1', 'b:1'],
    })
    expect(first.isNew).toBe(true)
    expect(again).toEqual({ ...first, isNew: false, bootEpoch: 2 })
    expect(await readIdentity(join(directory, 'deep', 'er'))).toEqual(again)
  })

  test('keeps the members of the first start, whatever a later start says', async () => {
    await openIdentity(directory, { clusterId, address: 'a:1', members: ['a:1', 'b:1'] })
    const again = await openIdentity(directory, { clusterId, address: 'a:1', members: ['a:1', 'c:1'] })
    expect(again.members).toEqual(['a:1', 'b:1'])
  })

  test('differs between two empty directories of the same node', async () => {
    const first = await openIdentity(join(directory, '1'), {
      clusterId,
      address: 'a:1',
      members: ['a:1', 'b:1'],
    })
    const second = await openIdentity(join(directory, '2'), {
      clusterId,
      address: 'a:1',
      members: ['a:1', 'b:1'],
    })
    expect(first.uuid).not.toEqual(second.uuid)
  })

  test('of another node or another cluster is refused', async () => {
    await openIdentity(directory, { clusterId, address: 'a:1', members: ['a:1', 'b:1'] })
    await expect(openIdentity(directory, { clusterId, address: 'b:1', members: [] })).rejects.toThrow(
      /belongs to node a:1/,
    )
    await expect(
      openIdentity(directory, { clusterId: clusterIdOf('other'), address: 'a:1', members: [] }),
    ).rejects.toThrow(/another cluster/)
  })

  test('is not made up for a directory that holds data without one', async () => {
    await writeFile(join(directory, 'wal-0000000000000001.seg'), 'data')
    await expect(
      openIdentity(directory, { clusterId, address: 'a:1', members: ['a:1', 'b:1'] }),
    ).rejects.toThrow(IdentityError)
  })

  test('survives a crash that left only a draft', async () => {
    await writeFile(join(directory, '.identity.json.draft'), '{"form')
    expect(
      (await openIdentity(directory, { clusterId, address: 'a:1', members: ['a:1', 'b:1'] })).isNew,
    ).toBe(true)
  })

  test.each([
    '',
    '{',
    'null',
    '{"format":2}',
    '{"format":1,"uuid":"00","clusterId":"00","address":"a:1","members":[]}',
    `{"format":1,"uuid":"${'0'.repeat(32)}","clusterId":"${'0'.repeat(32)}","address":"a:1","members":[1]}`,
  ])('that reads %j is refused, not replaced', async (content) => {
    await writeFile(join(directory, 'identity.json'), content)
    await expect(
      openIdentity(directory, { clusterId, address: 'a:1', members: ['a:1', 'b:1'] }),
    ).rejects.toThrow(IdentityError)
    expect(await readFile(join(directory, 'identity.json'), 'utf8')).toBe(content)
  })

  test('is not invented by reading', async () => {
    await expect(readIdentity(directory)).rejects.toThrow(IdentityError)
  })
})

describe('known peers', () => {
  test('are remembered over a restart, and one with another uuid is told apart', async () => {
    const peers = await KnownPeers.open(directory)
    expect(peers.check(id(1), uuid(1))).toBe('new')
    expect(await peers.remember(id(1), uuid(1))).toBe(true)
    const again = await KnownPeers.open(directory)
    expect(again.check(id(1), uuid(1))).toBe('known')
    expect(again.check(id(1), uuid(2))).toBe('replaced')
    expect(await again.remember(id(1), uuid(2))).toBe(false)
    expect(again.check(id(1), uuid(1))).toBe('known')
  })

  test('that come at once are all durable when each is told so', async () => {
    const peers = await KnownPeers.open(directory)
    await Promise.all([1, 2, 3].map((n) => peers.remember(id(n), uuid(n))))
    const again = await KnownPeers.open(directory)
    expect([1, 2, 3].map((n) => again.check(id(n), uuid(n)))).toEqual(['known', 'known', 'known'])
  })

  test('may come back with another uuid once they were removed', async () => {
    const peers = await KnownPeers.open(directory)
    await peers.remember(id(1), uuid(1))
    await peers.remember(id(2), uuid(2))
    await peers.retain(new Set([id(2), id(9)]))
    const again = await KnownPeers.open(directory)
    expect(again.size).toBe(1)
    expect(await again.remember(id(1), uuid(2))).toBe(true)
  })

  test('without a directory are remembered as long as the process runs', async () => {
    const peers = await KnownPeers.open(undefined)
    await peers.remember(id(1), uuid(1))
    expect(peers.check(id(1), uuid(2))).toBe('replaced')
  })

  test.each(['', '[]', '{"format":1}', '{"format":1,"peers":{"0":"00"}}', '{"format":1,"peers":{"1":7}}'])(
    'in a file that reads %j are refused, not forgotten',
    async (content) => {
      await writeFile(join(directory, 'known-peers.json'), content)
      await expect(KnownPeers.open(directory)).rejects.toThrow(IdentityError)
    },
  )
})
