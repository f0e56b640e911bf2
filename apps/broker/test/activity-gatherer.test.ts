import { beforeEach, describe, expect, test } from '@jest/globals'
import { DEFAULT_SETTINGS, type MetadataCommand, MetadataState, parseMetadataCommand } from '@sluice/metadata'
import { ActivityGatherer } from '../src/activity-gatherer.js'

const HOUR_MS = 3_600_000

/** Both clocks of a process, of which the wall clock can be set. */
class Clocks {
  #wall = 1_700_000_000_000
  #monotonic = 5000

  now(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  pass(ms: number): void {
    this.#wall += ms
    this.#monotonic += ms
  }

  set(ms: number): void {
    this.#wall += ms
  }
}

/** The metadata's leader, which is broker 1 of three. */
class Leader {
  readonly clocks = new Clocks()
  readonly state = new MetadataState()
  readonly gatherer = new ActivityGatherer(this.clocks)
  serving = true

  constructor() {
    const brokers = [1, 2, 3].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: `u${id}` }))
    const at = this.clocks.now()
    void this.propose({ kind: 'bootstrap', at, clusterId: 'c', brokers, settings: DEFAULT_SETTINGS })
    void this.propose({ kind: 'register-producer', at, topic: 'orders' })
  }

  propose(command: MetadataCommand): Promise<never> {
    this.state.apply(this.state.version + 1, parseMetadataCommand({ ...command }))
    return Promise.resolve(undefined as never)
  }

  /** A second in which the brokers are heard, the ones named by their own clocks. */
  async second(heard: readonly number[] = [1, 2, 3], theirClockMs = 0): Promise<void> {
    this.clocks.pass(1000)
    this.gatherer.brokerSeen(1)
    const now = this.clocks.now() + theirClockMs
    for (const id of heard.filter((one) => one !== 1))
      this.gatherer.report({ now, producers: [], consumers: [], brokers: [[id, now]] })
    await this.gatherer.decide(this)
  }

  get dead(): number[] {
    return [1, 2, 3].filter((id) => this.state.healthCheck('broker', id)?.status === 'dead')
  }
}

let leader: Leader

beforeEach(async () => {
  leader = new Leader()
  await leader.second()
})

describe('who is silent', () => {
  test('is marked after the threshold, and alive again with the next sign of life', async () => {
    for (let i = 0; i < 300; i++) await leader.second([2])
    expect(leader.dead).toEqual([])
    for (let i = 0; i < 2; i++) await leader.second([2])
    expect(leader.dead).toEqual([3])
    await leader.second()
    expect(leader.dead).toEqual([])
  })

  test.each([HOUR_MS, -HOUR_MS])('is not told by a clock that was set by %d ms', async (ms) => {
    leader.clocks.set(ms)
    await leader.gatherer.decide(leader)
    await leader.second()
    expect(leader.dead).toEqual([])
    expect(leader.state.healthCheck('producer', 1)?.status).toBe('alive')
    leader.clocks.set(-ms)
    for (let i = 0; i < 3; i++) await leader.second()
    expect(leader.dead).toEqual([])
    expect(leader.state.healthCheck('broker', 1)?.lastSeenAt).toBe(leader.clocks.now())
    // And is found all the same.
    for (let i = 0; i < 302; i++) await leader.second([2])
    expect(leader.dead).toEqual([3])
  })

  test('is not told by the clocks of those who report, only how long before it was', async () => {
    for (let i = 0; i < 310; i++) await leader.second([2, 3], i % 2 === 0 ? HOUR_MS : -HOUR_MS)
    expect(leader.dead).toEqual([])
    const now = leader.clocks.now()
    leader.gatherer.report({
      now: now - HOUR_MS,
      producers: [[1, now - HOUR_MS - 700]],
      consumers: [],
      brokers: [],
    })
    await leader.gatherer.decide(leader)
    expect(leader.state.healthCheck('producer', 1)?.lastSeenAt).toBe(now - 700)
  })

  test('is not told by a leader that has only just begun to listen', async () => {
    leader.serving = false
    leader.clocks.pass(HOUR_MS)
    await leader.gatherer.decide(leader)
    leader.serving = true
    await leader.gatherer.decide(leader)
    expect(leader.dead).toEqual([])
  })
})
