import { fire } from './load-run.js'
import { faultsOf, type Scenario, type ScenarioContext, type ScenarioOutcome } from './scenario.js'

/** Registers one producer after the other for one topic. */
export const registerProducerScenario: Scenario = {
  name: 'register-producer',
  async run(context: ScenarioContext): Promise<ScenarioOutcome> {
    const topic = await newTopic(context, 'producers')
    const body = JSON.stringify({ topic_name: topic })
    return measure(context, '/producer/register', { perConnection: () => body })
  },
}

/** Registers one consumer after the other for one topic. */
export const registerConsumerScenario: Scenario = {
  name: 'register-consumer',
  async run(context: ScenarioContext): Promise<ScenarioOutcome> {
    const topic = await newTopic(context, 'consumers')
    const body = JSON.stringify({ topic_name: topic })
    return measure(context, '/consumer/register', { perConnection: () => body })
  },
}

/** Creates topics, each with a name of its own. */
export const addTopicScenario: Scenario = {
  name: 'add-topic',
  run(context: ScenarioContext): Promise<ScenarioOutcome> {
    let number = 0
    const prefix = `loadtest-topic-${context.runId}-${context.connections}-`
    return measure(context, '/topics', {
      perCall: () => JSON.stringify({ topic_name: `${prefix}${(number += 1)}` }),
    })
  },
}

async function newTopic({ api, runId, connections }: ScenarioContext, what: string): Promise<string> {
  const topic = `loadtest-${what}-${runId}-${connections}`
  await api.createTopic(topic)
  return topic
}

async function measure(
  { api, connections, seconds, warmUpSeconds }: ScenarioContext,
  path: string,
  body: Parameters<typeof fire>[0]['body'],
): Promise<ScenarioOutcome> {
  const load = { url: api.url, path, connections, body }
  const warmUp = await fire({ ...load, seconds: warmUpSeconds })
  const measured = await fire({ ...load, seconds })
  return {
    load: measured,
    notes: [],
    faults: [...faultsOf(warmUp, connections), ...faultsOf(measured, connections)],
  }
}
