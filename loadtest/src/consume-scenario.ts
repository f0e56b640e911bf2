import type { Api } from './api.js'
import { fire, type LoadResult } from './load-run.js'
import { sampleMessage } from './produce-scenario.js'
import { faultsOf, type Scenario, type ScenarioContext, type ScenarioOutcome } from './scenario.js'

const noMessagesStatus = 404
const fillBatch = 1000
const firstFill = 2000
/** Share by which the topic is filled beyond what the warm-up suggests will be read. */
const reserve = 2

/** A consumer per connection reads single messages of a topic that was filled before. */
export const consumeScenario: Scenario = {
  name: 'consume',
  async run({
    api,
    connections,
    seconds,
    warmUpSeconds,
    runId,
    say,
  }: ScenarioContext): Promise<ScenarioOutcome> {
    const topic = `loadtest-consume-${runId}-${connections}`
    const producerId = await api.registerProducer(topic)
    const consumers = await Promise.all(
      Array.from({ length: connections }, () => api.registerConsumer(topic)),
    )
    const bodies = consumers.map((id) => JSON.stringify({ consumer_id: id, topic_name: topic }))
    const load = {
      url: api.url,
      path: '/consumer/consume',
      connections,
      body: { perConnection: (index: number) => bodies[index % bodies.length]! },
      endsAtStatus: noMessagesStatus,
    }
    // Every consumer reads the whole topic, so it must hold what the fastest reads in the time.
    await fill(api, topic, producerId, firstFill)
    const warmUp = await fire({ ...load, seconds: warmUpSeconds })
    const perConsumer = (warmUp.requestsPerSecond / connections) * (seconds + warmUpSeconds)
    const wanted = Math.ceil((perConsumer * reserve + firstFill) / fillBatch) * fillBatch
    say(`filling ${topic} with ${wanted} messages`)
    await fill(api, topic, producerId, wanted)
    const measured = await fire({ ...load, seconds })
    const faults = [
      ...faultsOf(warmUp, connections, noMessagesStatus),
      ...faultsOf(measured, connections, noMessagesStatus),
    ]
    const notes = [`the topic held ${firstFill + wanted} messages for each of ${connections} consumers`]
    const early = await reasonForEarlyEnd(measured, api, topic, consumers)
    if (early !== undefined) faults.push(early)
    return { load: measured, notes, faults }
  },
}

/** A 404 ends the load; only NO_MESSAGES means that the topic was read to its end. */
async function reasonForEarlyEnd(
  load: LoadResult,
  api: Api,
  topic: string,
  consumers: readonly number[],
): Promise<string | undefined> {
  const refused = load.statuses[noMessagesStatus] ?? 0
  if (refused === 0) return undefined
  const after = `after ${load.durationSeconds.toFixed(1)} s`
  for (const consumer of consumers) {
    const code = await api.consumeOne(topic, consumer)
    if (code === 'NO_MESSAGES') return `exhausted: a consumer had read the whole topic ${after}`
  }
  return `${refused} answers with status ${noMessagesStatus} ${after}, while messages were left`
}

async function fill(api: Api, topic: string, producerId: number, count: number): Promise<void> {
  const batch = Array.from({ length: fillBatch }, () => sampleMessage)
  for (let done = 0; done < count; done += fillBatch) {
    await api.produce(topic, producerId, batch.slice(0, Math.min(fillBatch, count - done)))
  }
}
