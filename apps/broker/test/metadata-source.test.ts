import { expect, test } from '@jest/globals'
import type { MetadataListener } from '@sluice/client'
import { ManualClock } from '@sluice/foundation/testing'
import {
  DEFAULT_SETTINGS,
  type MetadataChanges,
  type MetadataCommand,
  MetadataState,
  parseMetadataCommand,
} from '@sluice/metadata'
import fc from 'fast-check'
import { FollowingSource } from '../src/metadata-source.js'

const AT = 1_700_000_000_000
const COMMANDS: readonly MetadataCommand[] = [
  {
    kind: 'bootstrap',
    at: AT,
    clusterId: 'c',
    brokers: [{ id: 1, host: 'h', port: 7001, uuid: 'u1' }],
    settings: DEFAULT_SETTINGS,
  },
  ...Array.from({ length: 12 }, (_, i) => ({
    kind: 'create-topic' as const,
    at: AT,
    topic: `t${i}`,
    partitions: 1,
  })),
]

/** One of the two ways in which a broker gets to know the commands. */
class Copy {
  state = new MetadataState()
  readonly #listeners: MetadataListener[] = []

  onChange(listener: MetadataListener): () => void {
    this.#listeners.push(listener)
    return () => undefined
  }

  /** @param asSnapshot the state is replaced by one that has them */
  take(count: number, asSnapshot: boolean): void {
    const commands = COMMANDS.slice(this.state.version, this.state.version + count)
    const next = asSnapshot ? MetadataState.fromJSON(this.state.toJSON()) : this.state
    const changes: MetadataChanges[] = commands.map(
      (command) => next.apply(next.version + 1, parseMetadataCommand({ ...command })).changes,
    )
    this.state = next
    if (commands.length > 0)
      for (const listener of this.#listeners) listener(asSnapshot ? undefined : changes)
  }
}

function sourceOf(follower: Copy, replica: Copy): FollowingSource {
  const unused = (): never => {
    throw new Error('nobody proposes here')
  }
  const calls = { ready: true, refresh: unused, propose: unused, callLeader: unused }
  const onChange = (listener: MetadataListener): (() => void) => follower.onChange(listener)
  return new FollowingSource({
    follower: {
      ...calls,
      onChange,
      get state() {
        return follower.state
      },
    },
    replica,
    brokerId: 1,
    clock: new ManualClock(),
  })
}

const namesIn = (state: MetadataState): string[] => Array.from(state.partitions(), ({ name }) => name)

test('who follows and has a replica of the metadata knows what either of them knows, and is told each thing once', () => {
  const step = fc.record({
    who: fc.constantFrom('follower', 'replica'),
    count: fc.integer({ min: 1, max: 4 }),
    asSnapshot: fc.boolean(),
  })
  fc.assert(
    fc.property(
      fc.array(step, { size: 'max', maxLength: 20 }),
      fc.integer({ min: 0, max: 3 }),
      (steps, before) => {
        const copies = { follower: new Copy(), replica: new Copy() }
        copies.replica.take(before, true)
        const source = sourceOf(copies.follower, copies.replica)
        const known = new Set(namesIn(source.state))
        let told = source.state.version
        source.onChange((changes) => {
          expect(source.state.version).toBeGreaterThan(told)
          told = source.state.version
          const partitions = changes?.flatMap((change) => change.partitions) ?? source.state.partitions()
          for (const { name } of partitions) known.add(name)
        })
        for (const { who, count, asSnapshot } of steps) {
          copies[who].take(count, asSnapshot)
          expect(source.state.version).toBe(
            Math.max(copies.follower.state.version, copies.replica.state.version),
          )
          expect(told).toBe(source.state.version)
          expect([...known]).toEqual(namesIn(source.state))
        }
      },
    ),
  )
})
