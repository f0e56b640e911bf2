import { countReadable } from './read-back.js'
import { fire } from './load-run.js'
import { faultsOf, type Scenario, type ScenarioContext, type ScenarioOutcome } from './scenario.js'

/** 100 bytes of text: a message as the figures elsewhere have it. */
export const sampleMessage = 'x'.repeat(100)

export function produceBody(topic: string, producerId: number): string {
  return JSON.stringify({ producer_id: producerId, topic_name: topic, message: sampleMessage })
}

/** A producer per connection publishes single messages; then all that was acknowledged is read back. */
export const produceScenario: Scenario = {
  name: 'produce',
  async run({
    api,
    connections,
    seconds,
    warmUpSeconds,
    runId,
    say,
  }: ScenarioContext): Promise<ScenarioOutcome> {
    const topic = `loadtest-produce-${runId}-${connections}`
    const producers = await Promise.all(
      Array.from({ length: connections }, () => api.registerProducer(topic)),
    )
    const reader = await api.registerConsumer(topic)
    const bodies = producers.map((id) => produceBody(topic, id))
    const load = {
      url: api.url,
      path: '/producer/produce',
      connections,
      body: { perConnection: (index: number) => bodies[index % bodies.length]! },
    }
    const warmUp = await fire({ ...load, seconds: warmUpSeconds })
    const measured = await fire({ ...load, seconds })
    const acknowledged = warmUp.acknowledged + measured.acknowledged
    const unanswered = warmUp.unanswered + measured.unanswered + warmUp.timeouts + measured.timeouts
    say(`reading back ${acknowledged} acknowledged messages`)
    const readable = await countReadable(api, topic, reader, acknowledged)
    const notes = [
      `acknowledged ${acknowledged}, read back ${readable.count}, /size said ${readable.sizeBefore}` +
        `; up to ${unanswered} more were on the wire when the load ended`,
    ]
    const faults = [...faultsOf(warmUp, connections), ...faultsOf(measured, connections)]
    if (readable.count < acknowledged)
      faults.push(`${acknowledged - readable.count} acknowledged messages are missing`)
    if (readable.count > acknowledged + unanswered) {
      faults.push(`${readable.count - acknowledged - unanswered} messages more than were sent`)
    }
    if (readable.duplicates > 0) faults.push(`${readable.duplicates} messages were delivered twice`)
    if (readable.sizeBefore < acknowledged) faults.push(`/size said ${readable.sizeBefore}`)
    return { load: measured, notes, faults }
  },
}
