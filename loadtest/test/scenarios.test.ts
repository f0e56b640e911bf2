import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import {
  addTopicScenario,
  registerConsumerScenario,
  registerProducerScenario,
} from '../src/admin-scenarios.js'
import { Api } from '../src/api.js'
import { consumeScenario } from '../src/consume-scenario.js'
import { produceScenario } from '../src/produce-scenario.js'
import type { ScenarioContext } from '../src/scenario.js'
import { FakeCluster } from './fake-cluster.js'

let cluster: FakeCluster

beforeEach(async () => {
  cluster = await FakeCluster.start()
})

afterEach(() => cluster.stop())

function context(): ScenarioContext {
  const api = new Api(cluster.url)
  return { api, connections: 2, seconds: 0.3, warmUpSeconds: 0.2, runId: 'test', say: () => undefined }
}

describe('a scenario', () => {
  test('that produces counts what was acknowledged against what can be read back', async () => {
    const outcome = await produceScenario.run(context())
    expect(outcome.faults).toEqual([])
    expect(outcome.load.acknowledged).toBeGreaterThan(0)
    expect(outcome.notes[0]).toMatch(/^acknowledged \d+, read back \d+/)
  })

  test('that produces fails when acknowledged messages are missing', async () => {
    cluster.loseEvery = 3
    const outcome = await produceScenario.run(context())
    expect(outcome.faults.join()).toMatch(/\d+ acknowledged messages are missing/)
  })

  test('that consumes reads a topic it filled, and passes', async () => {
    const outcome = await consumeScenario.run(context())
    expect(outcome.faults).toEqual([])
    expect(outcome.load.acknowledged).toBeGreaterThan(0)
    expect(outcome.load.p99Ms).toBeGreaterThanOrEqual(outcome.load.p50Ms)
  })

  test('that consumes to the end of the topic is exhausted, which is no success', async () => {
    class FillsNothing extends Api {
      override produce(): Promise<void> {
        return Promise.resolve()
      }
    }
    const emptied = { ...context(), api: new FillsNothing(cluster.url) }
    const outcome = await consumeScenario.run(emptied)
    expect(outcome.load.endedEarly).toBe(true)
    expect(outcome.faults.join()).toContain('exhausted')
  })

  test.each([registerProducerScenario, registerConsumerScenario, addTopicScenario])(
    '$name counts its successes',
    async (scenario) => {
      const outcome = await scenario.run(context())
      expect(outcome.faults).toEqual([])
      expect(outcome.load.statuses[200]).toBe(outcome.load.acknowledged)
    },
  )

  test('fails when the server answers errors', async () => {
    const outcome = await addTopicScenario.run({ ...context(), api: new Api(`${cluster.url}/nothing`) })
    expect(outcome.faults.join()).toMatch(/answers with status 404.*no call succeeded/)
  })
})
