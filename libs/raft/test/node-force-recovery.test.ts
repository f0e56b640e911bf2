import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { decodeConfiguration } from '../src/core/configuration.js'
import { EntryKind } from '../src/core/types.js'
import { decodeAddressBook } from '../src/node/address-book.js'
import type { AdminRequest, AdminResponse } from '../src/node/admin-protocol.js'
import { type AdminTarget, runAdmin } from '../src/node/admin-run.js'
import { groupUuidOf, SYNC_GROUP_ID, SYNC_GROUP_NAME, walDirectory } from '../src/node/data-directory.js'
import { ForceRecoveryError, IdentityError } from '../src/node/errors.js'
import { forceRecovery } from '../src/node/force-recovery.js'
import { parseNodeAddress } from '../src/node/node-address.js'
import { clusterIdOf, openIdentity } from '../src/node/node-identity.js'
import { openWal, type Wal } from '../src/wal/wal.js'

const [A, B, C] = ['a:1', 'b:1', 'c:1'].map(parseNodeAddress) as [
  ReturnType<typeof parseNodeAddress>,
  ReturnType<typeof parseNodeAddress>,
  ReturnType<typeof parseNodeAddress>,
]
const clusterId = clusterIdOf('default')

let directory: string
let uuid: Uint8Array
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raft-recovery-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

function open(): Promise<Wal> {
  const onFatal = (error: Error): never => {
    throw error
  }
  return openWal({ directory: walDirectory(directory), nodeUuid: uuid, onFatal })
}

/** The log of node a of three: two entries of term 3, the first of them committed; it voted for b in term 4. */
async function makeNode(withGroup = true): Promise<void> {
  const members = ['a:1', 'b:1', 'c:1']
  uuid = (await openIdentity(directory, { clusterId, address: 'a:1', members })).uuid
  const wal = await open()
  if (withGroup) {
    wal.createGroup(SYNC_GROUP_ID, groupUuidOf(clusterId, SYNC_GROUP_ID), SYNC_GROUP_NAME)
    const entries = [1, 2].map((index) => ({
      index,
      term: 3,
      kind: EntryKind.COMMAND,
      data: Uint8Array.of(index),
    }))
    const hardState = { term: 4, vote: B.id, commit: 1 }
    await new Promise<void>((resolve) => {
      wal.append([{ group: SYNC_GROUP_ID, hardState, entries }], resolve)
    })
  }
  await wal.close()
}

describe('recovery by force', () => {
  test('makes the survivors the only voters in the next term, behind everything the log has', async () => {
    await makeNode()
    const report = await forceRecovery({ dataDirectory: directory, survivors: [A, B], acceptLoss: true })
    expect(report).toEqual({
      node: 'a:1',
      lastIndex: 2,
      lastTerm: 3,
      commitIndex: 1,
      lost: ['c:1'],
      survivors: ['a:1', 'b:1'],
      term: 5,
    })
    const wal = await open()
    const log = wal.group(SYNC_GROUP_ID)!
    const entries = await log.read(1, 3, 1000)
    expect(entries.map(({ index, term }) => [index, term])).toEqual([
      [1, 3],
      [2, 3],
      [3, 5],
    ])
    const configuration = decodeConfiguration(entries[2]!.data)
    expect([...configuration.voters].sort()).toEqual([A.id, B.id].sort())
    expect(configuration.learners).toEqual([])
    expect([...decodeAddressBook(configuration.context).keys()].sort()).toEqual([A.id, B.id].sort())
    expect(log.hardState).toEqual({ term: 5, vote: A.id, commit: 1 })
    await wal.close()
  })

  test('only reports when the loss is not accepted, and changes nothing', async () => {
    await makeNode()
    const report = await forceRecovery({ dataDirectory: directory, survivors: [A], acceptLoss: false })
    expect(report).toMatchObject({ lost: ['b:1', 'c:1'], term: undefined })
    const wal = await open()
    expect(wal.group(SYNC_GROUP_ID)!.lastIndex).toBe(2)
    expect(wal.group(SYNC_GROUP_ID)!.hardState.term).toBe(4)
    await wal.close()
  })

  test('names members by the newest configuration in the log, also after an earlier recovery', async () => {
    await makeNode()
    await forceRecovery({ dataDirectory: directory, survivors: [A, B], acceptLoss: true })
    const report = await forceRecovery({ dataDirectory: directory, survivors: [A], acceptLoss: true })
    expect(report).toMatchObject({ lost: ['b:1'], survivors: ['a:1'], lastIndex: 3, term: 6 })
  })

  test('is refused without this node among the survivors, without any, and without a group', async () => {
    await makeNode(false)
    const recover = (survivors: (typeof A)[]) =>
      forceRecovery({ dataDirectory: directory, survivors, acceptLoss: true })
    await expect(recover([B, C])).rejects.toThrow(ForceRecoveryError)
    await expect(recover([])).rejects.toThrow(ForceRecoveryError)
    await expect(recover([A])).rejects.toThrow('never took part')
  })

  test('is refused for what is no data directory, and makes none', async () => {
    await expect(
      forceRecovery({ dataDirectory: directory, survivors: [A], acceptLoss: true }),
    ).rejects.toThrow(IdentityError)
  })

  test('is refused while the node runs', async () => {
    await makeNode()
    const wal = await open()
    await expect(
      forceRecovery({ dataDirectory: directory, survivors: [A], acceptLoss: true }),
    ).rejects.toThrow(/has this log open/)
    await wal.close()
  })
})

describe('raft-admin', () => {
  function world(
    answer: AdminResponse | Error = { kind: 'ok', message: 'done', values: { term: 3, leader: null } },
  ) {
    const asked: { target: AdminTarget; request: AdminRequest }[] = []
    const text = { out: '', err: '' }
    const run = (...args: string[]) =>
      runAdmin(args, {
        ask: (target, request) => {
          asked.push({ target, request })
          return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
        },
        out: (part) => void (text.out += part),
        err: (part) => void (text.err += part),
      })
    return { run, asked, text }
  }

  test('prints what the node answers, line by line or as JSON, and ends with 0', async () => {
    const plain = world()
    expect(await plain.run('--connect', 'a:1', 'status')).toBe(0)
    expect(plain.text).toEqual({ out: 'done\nterm: 3\nleader: none\n', err: '' })
    const json = world()
    expect(await json.run('--connect', 'a:1', '--json', 'status')).toBe(0)
    expect(JSON.parse(json.text.out)).toEqual({
      kind: 'ok',
      message: 'done',
      values: { term: 3, leader: null },
    })
  })

  test('ends with 1 when the node refuses, and names the reason', async () => {
    const { run, text } = world({
      kind: 'refused',
      code: 'REQUEST_DENIED',
      outcome: 'no',
      message: 'not now',
    })
    expect(await run('--connect', 'a:1', 'add', 'b:1')).toBe(1)
    expect(text).toEqual({ out: '', err: 'raft-admin: refused (REQUEST_DENIED): not now\n' })
  })

  test('ends with 1 when the node cannot be reached', async () => {
    const { run, text } = world(new Error('nobody there'))
    expect(await run('--connect', 'a:1', 'status')).toBe(1)
    expect(text.err).toContain('nobody there')
    const json = world(new Error('nobody there'))
    expect(await json.run('--connect', 'a:1', '--json', 'status')).toBe(1)
    expect(JSON.parse(json.text.out)).toMatchObject({ kind: 'failed' })
  })

  test('ends with 2 and the usage when the command line is wrong', async () => {
    const { run, asked, text } = world()
    expect(await run('status')).toBe(2)
    expect(text.err).toContain('usage:')
    expect(asked).toEqual([])
  })

  test('prints its usage when asked', async () => {
    const { run, text } = world()
    expect(await run('--help')).toBe(0)
    expect(text.out).toContain('force-recovery')
  })

  test('reads the secret without the line break at its end, and the certificates', async () => {
    await writeFile(join(directory, 'secret'), 'open sesame\n')
    for (const name of ['ca', 'cert', 'key']) await writeFile(join(directory, name), name)
    const { run, asked } = world()
    const files = ['ca', 'cert', 'key'].flatMap((name) => [`--tls-${name}`, join(directory, name)])
    await run('--connect', 'a:1', '--secret-file', join(directory, 'secret'), ...files, 'status')
    expect(Buffer.from(asked[0]!.target.secret!).toString()).toBe('open sesame')
    expect(asked[0]!.target.tls).toEqual({ ca: 'ca', cert: 'cert', key: 'key' })
  })

  test('names what a recovery may lose, and changes nothing without the confirmation', async () => {
    await makeNode()
    const { run, text } = world()
    const line = ['--data', directory, 'force-recovery', '--survivors', 'a:1,b:1']
    expect(await run(...line)).toBe(1)
    expect(text.out).toContain('c:1')
    expect(text.err).toContain('nothing was changed')
    expect(await run(...line, '--i-accept-that-acknowledged-entries-may-be-lost')).toBe(0)
    expect(text.out).toContain('Done')
  })

  test('tells about a recovery in JSON', async () => {
    await makeNode()
    const { run, text } = world()
    expect(await run('--data', directory, '--json', 'force-recovery', '--survivors', 'a:1')).toBe(1)
    expect(JSON.parse(text.out)).toMatchObject({ kind: 'not-accepted', lost: ['b:1', 'c:1'] })
  })

  test('has an empty secret refused', async () => {
    await writeFile(join(directory, 'secret'), '\n')
    const { run, asked } = world()
    expect(await run('--connect', 'a:1', '--secret-file', join(directory, 'secret'), 'status')).toBe(2)
    expect(asked).toEqual([])
    expect(await readFile(join(directory, 'secret'), 'utf8')).toBe('\n')
  })
})
