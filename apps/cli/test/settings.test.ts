import { resolve } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { readSettings } from '../src/settings.js'

describe('the settings', () => {
  test('have defaults', () => {
    expect(readSettings({}, {})).toEqual({
      dataDirectory: resolve('./.sluice'),
      host: '127.0.0.1',
      port: 8080,
      brokerCount: 3,
      readManagerCount: 2,
      writeManagerCount: 1,
      loadBalancerCount: 1,
      databaseUrls: [],
      databasePrefix: 'sluice_broker_',
      restartDelayMs: 1000,
      startTimeoutMs: 60_000,
      stopTimeoutMs: 15_000,
    })
  })

  test('come from the command line before the environment', () => {
    const env = { SLUICE_PORT: '1', SLUICE_BROKER_COUNT: '4', SLUICE_DATA_DIR: '/env' }
    const flags = { port: '9000', dataDir: '/flag', writeManagers: '2', loadBalancers: '3' }
    expect(readSettings(env, flags)).toMatchObject({
      port: 9000,
      writeManagerCount: 2,
      loadBalancerCount: 3,
      brokerCount: 4,
      dataDirectory: '/flag',
    })
  })

  test('take existing servers from either variable, the list first', () => {
    const one = 'postgres://a@b/c'
    const list = 'postgres://a@b/c, postgresql://d@e:1/f'
    expect(readSettings({ DATABASE_URL: one }, {}).databaseUrls).toEqual([one])
    expect(readSettings({ DATABASE_URL: one, SLUICE_DATABASE_URLS: list }, {}).databaseUrls).toEqual(
      list.split(', '),
    )
  })

  test('tell every mistake at once, and no password', () => {
    const env = {
      SLUICE_PORT: 'x',
      SLUICE_BROKER_COUNT: '0',
      DATABASE_URL: 'mysql://me:secret@b',
      SLUICE_DATABASE_PREFIX: 'A"',
    }
    const read = (): unknown => readSettings(env, {})
    expect(read).toThrow(/SLUICE_PORT.*SLUICE_BROKER_COUNT.*DATABASE_URL.*SLUICE_DATABASE_PREFIX/s)
    expect(read).not.toThrow(/secret/)
  })
})
