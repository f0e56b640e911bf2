import { expect, test } from '@jest/globals'
import {
  DEFAULT_SETTINGS,
  encodeMetadataCommand,
  FEATURES,
  type MetadataCommand,
  MetadataState,
  parseMetadataCommand,
  toFeatureRange,
} from '@sluice/metadata'

const AT = 1_700_000_000_000
const seats = [1, 2].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: '' }))

/** A cluster that the first version founded. */
function old(): MetadataState {
  const state = new MetadataState()
  const { featureLevel, ...settings } = DEFAULT_SETTINGS
  expect(featureLevel).toBe(FEATURES.max)
  next(state, { kind: 'bootstrap', at: AT, clusterId: 'c', brokers: seats, settings } as never)
  return state
}

function next(state: MetadataState, command: MetadataCommand): unknown {
  const parsed = parseMetadataCommand(JSON.parse(new TextDecoder().decode(encodeMetadataCommand(command))))
  return state.apply(state.version + 1, parsed).result
}

const says = (id: number, features: { min: number; max: number }): MetadataCommand => ({
  kind: 'update-broker',
  at: AT,
  id,
  host: 'h',
  port: 7000 + id,
  uuid: '',
  features,
})
const raise = (level: number): MetadataCommand => ({ kind: 'raise-feature-level', at: AT, level })

test('what came with a later level is refused until the level is raised, which takes every broker', () => {
  const state = old()
  expect(state.settings.featureLevel).toBe(1)
  next(state, { kind: 'create-topic', at: AT, topic: 'a', partitions: 1 })
  const refused = { error: { code: 'UNSUPPORTED_VERSION', outcome: 'no' } }
  const before = state.toJSON()
  for (const command of [
    { kind: 'delete-topic', at: AT, topic: 'a' },
    { kind: 'alter-topic', at: AT, topic: 'a', growth: { by: 'off' } },
    { kind: 'close-partition', at: AT, topic: 'a' },
    { kind: 'create-topic', at: AT, topic: 'b', partitions: 1, growth: { by: 'off' } },
    { kind: 'change-settings', at: AT, deadAfterMs: { broker: 5000 } },
    raise(2),
  ] as MetadataCommand[])
    expect(next(state, command)).toMatchObject(refused)
  expect({ ...state.toJSON(), version: 0 }).toEqual({ ...before, version: 0 })
  next(state, says(1, { min: 1, max: 2 }))
  expect(next(state, raise(2))).toMatchObject({ error: { message: expect.stringContaining('broker 2') } })
  next(state, says(2, { min: 1, max: 3 }))
  expect(next(state, raise(2))).toEqual({ featureLevel: 2 })
  expect(next(state, raise(1))).toEqual({ featureLevel: 2 })
  expect(next(state, raise(3))).toMatchObject(refused)
  expect([...state.auditEvents()].at(-1)).toMatchObject({
    kind: 'feature-level-raised',
    reason: 'from 1 to 2',
  })
  expect(next(state, { kind: 'delete-topic', at: AT, topic: 'a' })).toEqual({ topic: 'a' })
  const restored = MetadataState.fromJSON(JSON.parse(JSON.stringify(state)))
  expect(restored.settings.featureLevel).toBe(2)
  expect(restored.broker(2)!.features).toEqual({ min: 1, max: 3 })
})

test('a broker that cannot run in the level of the cluster does not become, or stay, a part of it', () => {
  const state = new MetadataState()
  next(state, { kind: 'bootstrap', at: AT, clusterId: 'c', brokers: seats, settings: DEFAULT_SETTINGS })
  const add = (features: { min: number; max: number }): MetadataCommand => ({
    kind: 'add-broker',
    at: AT,
    host: 'h',
    port: 7009,
    uuid: 'u',
    features,
  })
  for (const features of [
    { min: 1, max: FEATURES.max - 1 },
    { min: FEATURES.max + 1, max: FEATURES.max + 2 },
  ]) {
    expect(next(state, add(features))).toMatchObject({ error: { code: 'UNSUPPORTED_VERSION' } })
    expect(next(state, says(1, features))).toMatchObject({ error: { code: 'UNSUPPORTED_VERSION' } })
  }
  expect(state.brokers()).toHaveLength(2)
  expect(next(state, add({ min: FEATURES.max, max: FEATURES.max }))).toEqual({ brokerId: 3 })
})

test('commands and snapshots of a newer version are refused as such', () => {
  const unsupported = expect.objectContaining({ code: 'UNSUPPORTED_VERSION' })
  expect(() => parseMetadataCommand({ kind: 'split-partition', at: AT })).toThrow(unsupported)
  expect(() => parseMetadataCommand({ v: 2, kind: 'mark', at: AT, marks: [] })).toThrow(unsupported)
  expect(parseMetadataCommand({ v: 1, kind: 'mark', at: AT, marks: [] })).toEqual({
    kind: 'mark',
    at: AT,
    marks: [],
  })
  expect(parseMetadataCommand({ kind: 'mark', at: AT, marks: [] })).toBeDefined()
  expect(() => MetadataState.fromJSON({ ...old().toJSON(), format: 2 })).toThrow(unsupported)
  const event = { id: 1, at: 1, kind: 'moon-landed', subject: 'moon', reason: '' }
  const audit = { nextId: 2, events: [event] }
  expect(() => MetadataState.fromJSON({ ...old().toJSON(), audit })).toThrow(unsupported)
  const { format, ...first } = old().toJSON()
  expect(format).toBe(1)
  expect(MetadataState.fromJSON(first).clusterId).toBe('c')
})

test.each([undefined, null, 7, {}, { min: 2, max: 1 }, { min: 0, max: 1 }, { min: 1, max: 1.5 }])(
  '%j is no range of levels',
  (value) => {
    expect(toFeatureRange(value)).toBeUndefined()
    expect(() => parseMetadataCommand({ ...says(1, { min: 1, max: 1 }), features: value ?? null })).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', field: 'features' }),
    )
  },
)
