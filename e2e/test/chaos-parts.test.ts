import { mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { RecoveryView } from '@sluice/contracts'
import { SeededRandom } from '@sluice/foundation'
import { BrokerLog } from '../src/chaos/broker-log.js'
import { LinkProxy } from '../src/chaos/link-proxy.js'
import { mutate, mutatedSources } from '../src/chaos/mutant.js'
import { mutantById, MUTANTS } from '../src/chaos/mutants.js'
import { missingCopies } from '../src/chaos/redundancy.js'
import { SyncJournal, unsyncedRanges } from '../src/chaos/sync-journal.js'
import { until } from '../src/index.js'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'sluice-chaos-test-'))
})

afterEach(async () => {
  await rm(directory, { recursive: true })
})

describe('redundancy', () => {
  const group = (fields: object = {}): object => ({
    name: 'a.1',
    leader: 1,
    unfit: null,
    commit: 7,
    voters: [2, 1, 3],
    voters_outgoing: [],
    learners: [],
    ...fields,
  })
  const view = (id: number, groups: readonly object[] = [group()]): RecoveryView =>
    ({ broker_id: id, partitions: [{ name: 'a.1', replicas: [1, 2, 3] }], groups }) as unknown as RecoveryView
  const missing = (third: RecoveryView | undefined, goals = new Map<string, number>()): readonly string[] =>
    missingCopies([view(1), view(2), third], goals)

  test('is not there with fewer replicas than the topic asks for', () => {
    const voters = [1, 2]
    const pair = (id: number): RecoveryView =>
      ({
        ...view(id, [group({ voters })]),
        partitions: [{ name: 'a.1', replicas: voters }],
      }) as unknown as RecoveryView
    expect(missingCopies([pair(1), pair(2)], new Map())).toEqual(['a.1 has replicas on 1, 2 only'])
  })

  test('is there when every replica is a voter that knows what was committed at first', () => {
    const goals = new Map<string, number>()
    expect(missing(view(3, [group({ commit: 5 })]), goals)).toEqual(['broker 3 knows a.1 up to 5, not to 7'])
    expect(missing(view(3), goals)).toEqual([])
    expect(missingCopies([view(1, [group({ commit: 9 })]), view(2), view(3)], goals)).toEqual([])
  })

  test.each([
    [undefined, /1 brokers do not answer/],
    [view(3, []), /a\.1 is not open on broker 3/],
    [view(3, [group({ unfit: 'its database has lost it' })]), /a\.1 on broker 3: its database has lost it/],
    [view(3, [group({ leader: 0 })]), /broker 3 knows no leader of a\.1/],
    [view(3, [group({ voters: [1, 2] })]), /a\.1 has voters 1, 2 on broker 3, not 1, 2, 3/],
    [view(3, [group({ learners: [4] })]), /a\.1 has voters/],
    [view(3, [group({ voters_outgoing: [1, 2, 4] })]), /a\.1 has voters/],
  ])('is not there: %#', (third, why) => {
    expect(missing(third).join()).toMatch(why)
  })
})

describe('mutants', () => {
  test.each(MUTANTS)('$id: its texts are in the built code once, and it changes something', (mutant) => {
    const sources = [...mutatedSources(mutant).values()].join('\n')
    for (const { replace } of mutant.changes) expect(sources).toContain(replace)
    expect(mutant.faults.length).toBeGreaterThan(0)
  })

  test('ids are unique, and an unknown one is refused', () => {
    expect(new Set(MUTANTS.map(({ id }) => id)).size).toBe(MUTANTS.length)
    expect(MUTANTS.length).toBeGreaterThanOrEqual(10)
    expect(() => mutantById('unheard-of')).toThrow(/unheard-of/)
  })

  test.each([['no such text'], ['twice']])('"%s" in place of exactly one text is refused', (find) => {
    expect(() => mutate('twice and twice', 'm', { find, replace: '' })).toThrow(/its text occurs/)
  })

  test('a $ in a text is only a $', () => {
    expect(mutate('a b', 'm', { find: 'a', replace: "$&$'" })).toBe("$&$' b")
  })
})

describe('unsynced writes', () => {
  test('what was written since the last sync is known, and what a sync had under way is not', async () => {
    const file = path.join(directory, 'file')
    const journalFile = path.join(directory, 'journal')
    const journal = new SyncJournal(journalFile)
    const handle = await open(file, 'w')
    const { ino: inode } = await handle.stat()
    expect(unsyncedRanges(journalFile)).toEqual([])
    journal.written(handle, 0, 100)
    expect(unsyncedRanges(journalFile)).toEqual([{ inode, from: 0, to: 100 }])
    const done = journal.syncing(handle)
    journal.written(handle, 100, 150)
    done()
    expect(unsyncedRanges(journalFile)).toEqual([{ inode, from: 100, to: 150 }])
    journal.syncing(handle)()
    expect(unsyncedRanges(journalFile)).toEqual([])
    await handle.close()
    journal.close()
  })
})

describe('a log that is damaged', () => {
  const writeLog = async (bytes: Buffer): Promise<string> => {
    const file = path.join(directory, 'log', 'wal-0000000000000001.seg')
    await mkdir(path.dirname(file))
    await writeFile(file, bytes)
    return file
  }
  const written = Buffer.concat([Buffer.alloc(600, 7), Buffer.alloc(400)])

  test('a power failure takes an end of what was not synced, and nothing else', async () => {
    const file = await writeLog(written)
    const { ino: inode } = await stat(file)
    const lost = await new BrokerLog(directory).loseUnsynced(
      [{ inode, from: 500, to: 600 }],
      new SeededRandom(1),
    )
    expect(lost).toBeGreaterThan(0)
    const bytes = await readFile(file)
    expect(bytes.subarray(0, 600 - lost)).toEqual(written.subarray(0, 600 - lost))
    expect(bytes.subarray(600 - lost)).toEqual(Buffer.alloc(400 + lost))
  })

  test('a truncated one lacks written bytes', async () => {
    const file = await writeLog(written)
    await new BrokerLog(directory).truncate(new SeededRandom(1))
    expect((await stat(file)).size).toBeLessThan(600)
  })

  test('a flipped one differs in one bit, among those that were written', async () => {
    const file = await writeLog(written)
    await new BrokerLog(directory).flip(new SeededRandom(1))
    const bytes = await readFile(file)
    const changed = [...bytes].flatMap((byte, at) =>
      byte === written[at] ? [] : [{ at, bits: byte ^ written[at]! }],
    )
    expect(changed).toHaveLength(1)
    expect(changed[0]!.at).toBeLessThan(600)
    expect(Math.log2(changed[0]!.bits) % 1).toBe(0)
  })
})

describe('the proxy between brokers', () => {
  let echo: net.Server
  let proxy: LinkProxy
  let socket: net.Socket
  let received: string

  beforeEach(async () => {
    echo = net.createServer((peer) => peer.on('error', () => undefined).pipe(peer))
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
    const { port } = echo.address() as net.AddressInfo
    proxy = await LinkProxy.open([1, 2], new SeededRandom(1), () => port, ['reader'])
    const [, door] = /1>2=(\d+)/.exec(proxy.table)!
    received = ''
    socket = net.connect(Number(door), '127.0.0.1')
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()))
    socket.on('error', () => undefined)
  })

  afterEach(async () => {
    socket.destroy()
    await proxy.close()
    await new Promise((resolve) => echo.close(resolve))
  })

  const arrives = (text: string): Promise<void> =>
    until(
      () => received === text,
      5000,
      () => `"${received}" arrived, not "${text}"`,
    )

  test('carries bytes both ways', async () => {
    socket.write('ping')
    await arrives('ping')
  })

  test.each([
    ['there', 1, 2],
    ['back', 2, 1],
  ] as const)('a cut on the way %s holds bytes until it is healed', async (_, from, to) => {
    socket.write('a')
    await arrives('a')
    proxy.set(from, to, { kind: 'cut' })
    socket.write('b')
    // The other way is open: a second connection of the pair's other direction is not held.
    proxy.set(to, from, { kind: 'slow', delayMs: 1 })
    await expect(
      until(
        () => received === 'ab',
        200,
        () => 'held',
      ),
    ).rejects.toThrow('held')
    proxy.openAll()
    await arrives('ab')
  })

  test('a manager has links to brokers of its own', async () => {
    const [, door] = /reader>1=(\d+)/.exec(proxy.table)!
    const manager = net.connect(Number(door), '127.0.0.1')
    let heard = ''
    manager.on('data', (chunk: Buffer) => (heard += chunk.toString()))
    proxy.set('reader', 2, { kind: 'cut' })
    manager.write('a')
    await until(
      () => heard === 'a',
      5000,
      () => `"${heard}" arrived`,
    )
    manager.destroy()
    expect(proxy.table).not.toContain('>reader')
  })

  test('a link that breaks ends the connection', async () => {
    proxy.set(1, 2, { kind: 'lossy', stallShare: 0, stallMs: 0, breakShare: 1 })
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write('a')
    await closed
    expect(received).toBe('')
  })
})
