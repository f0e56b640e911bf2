import { describe, expect, test } from '@jest/globals'
import { ConfigurationError, encodeConfiguration, simpleConfiguration } from '../src/core/configuration.js'
import { ConfigurationPool } from '../src/core/configuration-pool.js'
import { nodeId } from '../src/testing/index.js'

const THREE = encodeConfiguration(simpleConfiguration([1, 2, 3].map(nodeId)))

describe('a pool of configurations', () => {
  test('gives the same object for the same bytes, and others for others', () => {
    const pool = new ConfigurationPool()
    const first = pool.decode(THREE)
    expect(pool.decode(Uint8Array.from(THREE))).toBe(first)
    expect(pool.of(simpleConfiguration([1, 2, 3].map(nodeId)))).toBe(first)
    expect(first).toEqual({ configuration: simpleConfiguration([1, 2, 3].map(nodeId)), bytes: THREE })
    const learners = simpleConfiguration([1, 2].map(nodeId), [nodeId(3)])
    expect(pool.of(learners)).toEqual({ configuration: learners, bytes: encodeConfiguration(learners) })
    const withContext = { ...learners, context: new Uint8Array([1]) }
    expect(pool.of(withContext).configuration).toEqual(withContext)
  })

  test('keeps bytes of its own', () => {
    const frame = Uint8Array.from([...THREE, 0, 0])
    const view = frame.subarray(0, THREE.length)
    const { bytes, configuration } = new ConfigurationPool().decode(view)
    frame.fill(0xff)
    expect(bytes).toEqual(THREE)
    expect(bytes.buffer.byteLength).toBe(THREE.length)
    expect(configuration.voters).toEqual([1, 2, 3])
  })

  test('refuses what is no configuration, each time', () => {
    const pool = new ConfigurationPool()
    for (let i = 0; i < 2; i++)
      expect(() => pool.decode(THREE.subarray(0, THREE.length - 1))).toThrow(ConfigurationError)
  })

  test('keeps the latest of many, and none that is large', () => {
    const pool = new ConfigurationPool()
    const first = pool.decode(THREE)
    for (let id = 2; id <= 1024; id++) pool.of(simpleConfiguration([nodeId(id)]))
    expect(pool.decode(THREE)).toBe(first)
    const large = encodeConfiguration({ ...first.configuration, context: new Uint8Array(8192) })
    expect(pool.decode(large)).not.toBe(pool.decode(large))
    expect(pool.decode(large)).toEqual(pool.decode(large))
    pool.of(simpleConfiguration([nodeId(2000)]))
    expect(pool.decode(THREE)).not.toBe(first)
    expect(pool.decode(THREE)).toEqual(first)
  })
})
