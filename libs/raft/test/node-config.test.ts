import { describe, expect, test } from '@jest/globals'
import { InvalidConfigError } from '../src/node/errors.js'
import {
  DEFAULT_SYNC_OBJECT_CONFIG,
  type SyncObjectConfig,
  validateConfig,
} from '../src/node/sync-object-config.js'

function mistakesOf(given: object): readonly string[] {
  try {
    validateConfig(given)
  } catch (error) {
    if (error instanceof InvalidConfigError) return error.mistakes
    throw error
  }
  return []
}

const snapshots: SyncObjectConfig['snapshots'] = {
  serialize: (state) => state,
  deserialize: (stored) => stored,
}

describe('the configuration', () => {
  test('is the defaults when nothing is given, and they are valid', () => {
    expect(validateConfig()).toEqual(DEFAULT_SYNC_OBJECT_CONFIG)
    expect(validateConfig({})).toEqual(DEFAULT_SYNC_OBJECT_CONFIG)
  })

  test('takes an option that is given as undefined for one that is not given', () => {
    const given = { tickMs: undefined } as unknown as Partial<SyncObjectConfig>
    expect(validateConfig(given).tickMs).toBe(DEFAULT_SYNC_OBJECT_CONFIG.tickMs)
  })

  test('tells all mistakes at once', () => {
    const mistakes = mistakesOf({ tickMs: 0, heartbeatMs: -1, autoTick: 'yes', secret: 'short', bogus: 1 })
    expect(mistakes).toEqual([
      'bogus is no option',
      'tickMs must be a number from 1 to 2147483647',
      'heartbeatMs must be a number from 1 to 2147483647',
      'autoTick must be true or false',
      'secret must be a string or bytes, at least 8 bytes long',
    ])
  })

  test('names the code INVALID_CONFIG and the number of mistakes', () => {
    expect(() => validateConfig({ tickMs: 0, sendBufferBytes: 0 })).toThrow(
      /2 mistakes: tickMs .*; sendBufferBytes /,
    )
    expect(new InvalidConfigError([]).code).toBe('INVALID_CONFIG')
  })

  // What PySyncObj asserts in SyncObjConf.validate, one line each.
  test.each<[string, Record<string, unknown>, string]>([
    ['autoTickPeriod > 0', { tickMs: 0 }, 'tickMs'],
    ['commandsQueueSize >= 0', { commandsQueueCountMax: -1 }, 'commandsQueueCountMax'],
    ['raftMinTimeout > appendEntriesPeriod * 3', { heartbeatMs: 100, electionMinMs: 300 }, 'electionMinMs'],
    ['raftMaxTimeout > raftMinTimeout', { electionMinMs: 700, electionMaxMs: 1399 }, 'electionMaxMs'],
    ['appendEntriesPeriod > 0', { heartbeatMs: 0 }, 'heartbeatMs'],
    ['leaderFallbackTimeout >= appendEntriesPeriod', { quorumTimeoutMs: 99 }, 'quorumTimeoutMs'],
    ['connectionTimeout >= raftMaxTimeout', { connectionTimeoutMs: 1399 }, 'connectionTimeoutMs'],
    ['connectionRetryTime >= 0', { connectionRetryMs: -1 }, 'connectionRetryMs'],
    ['appendEntriesBatchSizeBytes > 0', { appendBatchBytesMax: 0 }, 'appendBatchBytesMax'],
    ['sendBufferSize > 0', { sendBufferBytes: 0 }, 'sendBufferBytes'],
    ['dnsCacheTime >= 0', { dnsCacheMs: -1 }, 'dnsCacheMs'],
    ['dnsFailCacheTime >= 0', { dnsFailureCacheMs: -1 }, 'dnsFailureCacheMs'],
    ['logCompactionMinEntries >= 2', { logCompactionMinEntries: 1 }, 'logCompactionMinEntries'],
    ['logCompactionMinTime > 0', { logCompactionMinMs: 0 }, 'logCompactionMinMs'],
    ['logCompactionBatchSize > 0', { snapshotChunkBytesMax: 0 }, 'snapshotChunkBytesMax'],
    ['bindRetryTime > 0', { bindRetryMs: 0 }, 'bindRetryMs'],
    ['maxBindRetries >= 0', { bindRetriesMax: -1 }, 'bindRetriesMax'],
    [
      'serializer and deserializer or neither',
      { snapshots: { serialize() {} }, dataDirectory: 'd' },
      'snapshots',
    ],
    ['serializer needs fullDumpFile', { snapshots }, 'snapshots'],
    ['preferredAddrType', { addressFamily: 'ipx' }, 'addressFamily'],
    ['tcp_keepalive[0] > 0', { tcpKeepAliveIdleMs: -1 }, 'tcpKeepAliveIdleMs'],
    ['tcp_keepalive is a tuple', { tcpKeepAliveIdleMs: 'often' }, 'tcpKeepAliveIdleMs'],
    ['retries back off upwards', { connectionRetryMs: 20, connectionRetryMaxMs: 10 }, 'connectionRetryMaxMs'],
  ])('breaking "%s" is one mistake, and it is named', (_name, given, field) => {
    const mistakes = mistakesOf(given)
    expect(mistakes).toHaveLength(1)
    expect(mistakes[0]).toMatch(new RegExp(`^${field} `))
  })

  test.each<[string, Record<string, unknown>, string]>([
    ['a time that is no number', { tickMs: '50' }, 'tickMs'],
    ['a time that is NaN', { electionMinMs: Number.NaN }, 'electionMinMs'],
    ['a size with a fraction', { commandBytesMax: 1.5 }, 'commandBytesMax'],
    ['a time longer than a timer takes', { quorumTimeoutMs: 2 ** 31 }, 'quorumTimeoutMs'],
    ['a heartbeat between two ticks', { tickMs: 60, heartbeatMs: 50 }, 'heartbeatMs'],
    ['TLS without its key', { tls: { ca: 'x', cert: 'x' } }, 'tls.key'],
    ['an empty cluster name', { clusterName: '' }, 'clusterName'],
    ['an empty data directory', { dataDirectory: '' }, 'dataDirectory'],
  ])('%s is refused', (_name, given, field) => {
    expect(mistakesOf(given).map((text) => text.split(' ')[0])).toContain(field)
  })

  test('takes custom snapshots together with a data directory', () => {
    expect(validateConfig({ snapshots, dataDirectory: 'd' }).snapshots).toBe(snapshots)
  })
})
