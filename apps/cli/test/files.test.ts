import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type ClusterState, newClusterId, readClusterFile, writeClusterFile } from '../src/cluster-file.js'
import { DataLock, LockHeldError } from '../src/data-lock.js'
import { LogFile } from '../src/log-file.js'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-files-'))
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

describe('the lock of a data directory', () => {
  const path = (): string => join(directory, 'deeper', 'lock')

  test('is held by one at a time', () => {
    const lock = DataLock.take(path())
    expect(DataLock.holder(path())).toBe(process.pid)
    expect(() => DataLock.take(path())).toThrow(LockHeldError)
    lock.release()
    expect(DataLock.holder(path())).toBeUndefined()
    DataLock.take(path()).release()
  })

  test.each([
    ['of a process that is gone', JSON.stringify({ pid: 2 ** 22 + 1, startedAt: '1' })],
    ['of an earlier process with the same id', JSON.stringify({ pid: process.pid, startedAt: 'earlier' })],
    ['that is cut off', '{"pid":'],
    ['that is empty', ''],
  ])('%s is taken over', (_what, text) => {
    DataLock.take(path()).release()
    writeFileSync(path(), text)
    const lock = DataLock.take(path())
    expect(DataLock.holder(path())).toBe(process.pid)
    lock.release()
    expect(readdirSync(join(directory, 'deeper'))).toEqual([])
  })

  test('that somebody else took meanwhile is not removed', () => {
    const lock = DataLock.take(path())
    writeFileSync(path(), 'another')
    lock.release()
    lock.release()
    expect(existsSync(path())).toBe(true)
  })
})

describe('the state file', () => {
  const path = (): string => join(directory, 'cluster.json')
  const state: ClusterState = {
    version: 1,
    clusterId: newClusterId(),
    host: '127.0.0.1',
    port: 8080,
    postgresUrl: 'postgres://sluice@127.0.0.1:5432/postgres',
    processes: [
      { name: 'broker-1', kind: 'broker', id: 1, pid: 10, port: 7001 },
      { name: 'write-manager', kind: 'write-manager', id: 1, pid: null, port: 7101 },
    ],
  }

  test('gives back what was written, for its owner only', () => {
    expect(readClusterFile(path())).toBeUndefined()
    writeClusterFile(path(), state)
    expect(readClusterFile(path())).toEqual(state)
    expect(statSync(path()).mode & 0o077).toBe(0)
    expect(readdirSync(directory)).toEqual(['cluster.json'])
  })

  test.each([
    ['{', /cannot be read/],
    ['[]', /is not an object/],
    [JSON.stringify({ ...state, version: 2 }), /version 2 is not known/],
    [JSON.stringify({ ...state, clusterId: 'x' }), /clusterId/],
    [JSON.stringify({ ...state, port: '8080' }), /port is not a number/],
    [JSON.stringify({ ...state, processes: [{ name: 'x', kind: 'cat' }] }), /kind of x/],
    [JSON.stringify({ ...state, processes: 3 }), /processes is not a list/],
  ])('that is not one of ours is named: %s', (text, message) => {
    writeFileSync(path(), text)
    expect(() => readClusterFile(path())).toThrow(message)
    expect(() => readClusterFile(path())).toThrow(path())
  })
})

describe('a log file', () => {
  test('goes on after a restart, and is set aside over its bound', () => {
    const path = join(directory, 'logs', 'one.log')
    const first = new LogFile(path, 20)
    first.append('0123456789')
    first.close()
    const second = new LogFile(path, 20)
    second.append('abc')
    second.append('0123456789')
    second.close()
    expect(readFileSync(`${path}.1`, 'utf8')).toBe('0123456789\nabc\n')
    expect(readFileSync(path, 'utf8')).toBe('0123456789\n')
  })
})
