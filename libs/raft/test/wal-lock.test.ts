import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually } from '@sluice/foundation/testing'
import { afterEach, describe, expect, test } from '@jest/globals'
import { WalLockedError } from '../src/wal/errors.js'
import { lockDirectory } from '../src/wal/lock.js'
import { WalBench } from './wal-fixture.js'

const bench = new WalBench()
const children: ChildProcess[] = []
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await bench.end()
})

async function running(): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  children.push(child)
  await once(child, 'spawn')
  return child as ChildProcess & { readonly pid: number }
}

/** The content of a lock of this process, with changes. */
async function lockText(changes: Record<string, unknown>): Promise<string> {
  const directory = await bench.directory()
  const lock = await lockDirectory(directory)
  const content = JSON.parse(await readFile(join(directory, 'wal.lock'), 'utf8')) as Record<string, unknown>
  await lock.release()
  return JSON.stringify({ ...content, ...changes })
}

async function startTicks(pid: number): Promise<string> {
  if (process.platform !== 'linux') return ''
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!
}

async function lockedBy(text: string): Promise<string> {
  const directory = await bench.directory()
  await writeFile(join(directory, 'wal.lock'), text)
  return directory
}

test('a log is open once, also within one process, and free again after close', async () => {
  const directory = await bench.directory()
  const wal = await bench.open(directory)
  const second = bench.open(directory)
  await expect(second).rejects.toThrow(WalLockedError)
  await expect(second).rejects.toMatchObject({ pid: process.pid, file: join(directory, 'wal.lock') })
  await expect(second).rejects.toThrow('stop that process first')
  await wal.close()
  expect((await readdir(directory)).filter((name) => name.startsWith('wal.lock'))).toEqual([])
  await bench.open(directory)
})

test('a log that cannot be opened is not left locked', async () => {
  const directory = await bench.directory()
  await writeFile(join(directory, 'wal-0000000000000001.seg'), 'none')
  await expect(bench.open(directory)).rejects.toThrow('is damaged at byte 0')
  await expect(bench.open(directory)).rejects.toThrow('is damaged at byte 0')
})

test('the lock of a process holds while it runs, and is taken over when it is gone', async () => {
  const child = await running()
  const directory = await lockedBy(
    await lockText({ pid: child.pid, startTicks: await startTicks(child.pid) }),
  )
  await expect(bench.open(directory)).rejects.toMatchObject({ name: 'WalLockedError', pid: child.pid })
  child.kill('SIGKILL')
  await once(child, 'exit')
  await eventually(() => bench.open(directory))
})

describe('a lock is stale when', () => {
  test.each([
    ['its pid is another process now', { startTicks: '1' }],
    ['the machine was started again since', { bootId: 'another' }],
  ])('%s', async (_, changes) => {
    // Only Linux tells processes with one pid apart.
    const isTold = process.platform === 'linux'
    const opening = bench.open(await lockedBy(await lockText(changes)))
    if (isTold) await expect(opening).resolves.toBeDefined()
    else await expect(opening).rejects.toThrow(WalLockedError)
  })

  test.each(['', '{', 'null', '7', '{"pid":0}', '{"pid":"1"}', '{"pid":1}'])(
    'a crash left it half written: %j',
    async (text) => {
      await expect(bench.open(await lockedBy(text))).resolves.toBeDefined()
    },
  )
})

test('of many that take over a stale lock at once one gets it', async () => {
  const stale = await lockText({ startTicks: '1', bootId: 'another' })
  for (let round = 0; round < 5; round++) {
    const directory = await lockedBy(stale)
    const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(directory)))
    const locks = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []))
    const verified = await Promise.allSettled(locks.map((lock) => lock.verify()))
    expect(verified.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
    for (const lock of locks) await lock.release()
    expect(await readdir(directory)).toEqual([])
  }
})
