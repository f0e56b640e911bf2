import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { BUILD_VERSION } from '@sluice/foundation'
import { FEATURES } from '@sluice/metadata'
import { openIdentity, saveIdentity } from '../src/node-identity.js'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'sluice-identity-'))
})

afterEach(() => rm(directory, { recursive: true, force: true }))

const file = (): string => path.join(directory, 'node.json')
const change = async (fields: object): Promise<void> =>
  writeFile(file(), JSON.stringify({ ...JSON.parse(await readFile(file(), 'utf8')), ...fields }))

test('comes out as it went in, with the version that wrote it', async () => {
  const made = await openIdentity(directory)
  expect(made).toMatchObject({ clusterId: '', brokerId: 0, isPlaced: false, founders: [], featureLevel: 0 })
  const brokers = [{ id: 1, host: '127.0.0.1', port: 7001 }]
  const place = { clusterId: 'c', brokerId: 1, isPlaced: true, founders: [{ id: 1, uuid: made.nodeUuid }] }
  const identity = { ...made, ...place, starts: 3, brokers, featureLevel: FEATURES.max }
  await saveIdentity(directory, identity)
  expect(await openIdentity(directory)).toEqual(identity)
  expect(JSON.parse(await readFile(file(), 'utf8'))).toMatchObject({ format: 1, version: BUILD_VERSION })
})

test('one that an earlier version wrote, which noted no level and no founders, is read: it took its place at once', async () => {
  const nodeUuid = '00'.repeat(16)
  await writeFile(file(), JSON.stringify({ nodeUuid, clusterId: 'c', brokerId: 2, brokers: [] }))
  const read = { nodeUuid, brokerId: 2, isPlaced: true, founders: [], starts: 0, featureLevel: 0 }
  expect(await openIdentity(directory)).toMatchObject(read)
})

test('one whose founders cannot be read is refused as it is', async () => {
  const { nodeUuid } = await openIdentity(directory)
  for (const fields of [
    { founders: [{ id: 1 }] },
    { founders: [{ id: '1', uuid: nodeUuid }] },
    { founders: null },
    { isPlaced: 'yes' },
  ]) {
    await openIdentity(directory)
    await change(fields)
    await expect(openIdentity(directory)).rejects.toThrow(/is no broker identity/)
    await rm(file())
  }
})

test.each([
  { featureLevel: FEATURES.max + 1, remedy: 'start version 9.9.9 or a later one' },
  { featureLevel: 1, range: { min: 2, max: 3 }, remedy: 'raise the feature level with the version before' },
  { format: 2, remedy: `version ${BUILD_VERSION} reads format 1` },
])(
  'a directory that this build must not touch is left as it is: %j',
  async ({ range, remedy, ...fields }) => {
    await openIdentity(directory)
    await change({ ...fields, version: '9.9.9' })
    const before = await readFile(file(), 'utf8')
    const opening = openIdentity(directory, range)
    await expect(opening).rejects.toMatchObject({ code: 'UNSUPPORTED_VERSION', outcome: 'no' })
    await expect(opening).rejects.toThrow(remedy)
    for (const named of ['version 9.9.9', `version ${BUILD_VERSION}`, 'nothing was changed'])
      await expect(opening).rejects.toThrow(named)
    expect(await readFile(file(), 'utf8')).toBe(before)
    expect(await readdir(directory)).toEqual(['node.json'])
  },
)
