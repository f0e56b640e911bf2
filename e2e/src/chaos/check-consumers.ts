import { topicOf } from './check-copies.js'
import { groupBy } from './grouping.js'
import type { ConsumerEvent, ConsumerHistory, Contents, StoredMessage, Violation } from './history.js'

/**
 * A consumer that acknowledges on delivery is given every message once, in order, and nothing else. One
 * that acknowledges by itself is given, each time, what begins right behind its last acknowledgement. Both
 * end at the partition's end.
 */
export function checkConsumers(
  consumers: readonly ConsumerHistory[],
  contents: Contents,
): readonly Violation[] {
  const violations: Violation[] = []
  for (const consumer of consumers) {
    const placed = consumer.events.filter((event) => event.kind !== 'empty')
    const byPartition = groupBy(placed, ({ partition }) => partition)
    const partitions = new Set([
      ...byPartition.keys(),
      ...[...contents.read.keys()].filter((partition) => topicOf(partition) === consumer.topic),
    ])
    for (const partition of partitions) {
      const fault = followPosition(
        byPartition.get(partition) ?? [],
        contents.read.get(partition) ?? [],
        consumer.ack,
      )
      if (fault !== undefined)
        violations.push({
          check: fault.check,
          detail: `${consumer.name} (${consumer.ack}), ${partition}: ${fault.what}`,
        })
    }
  }
  return violations
}

interface Fault {
  readonly check: 'consumer-went-back' | 'consumer-skipped' | 'consumer-wrong-message'
  readonly what: string
}

/** The first fault of one consumer in one partition: what follows it is often its consequence. */
function followPosition(
  events: readonly Exclude<ConsumerEvent, { kind: 'empty' }>[],
  stored: readonly StoredMessage[],
  ack: ConsumerHistory['ack'],
): Fault | undefined {
  /** Next offset to be acknowledged. */
  let position = 0
  /** Next offset within what is shown since the last acknowledgement. */
  let next = 0
  for (const event of events) {
    if (event.kind === 'acknowledged') {
      position = next = Math.max(position, event.offset + 1)
      continue
    }
    const { offset, value, atMs } = event
    const at = `at ${(atMs / 1000).toFixed(1)} s offset ${offset} was delivered`
    // Shown again from the position on: that is what manual acknowledgement means.
    if (ack === 'manual' && offset === position) next = position
    if (offset < next) return { check: 'consumer-went-back', what: `${at} when ${next} was next` }
    if (offset > next) return { check: 'consumer-skipped', what: `${at} when ${next} was next` }
    const there = stored[offset]?.value
    if (there !== value)
      return {
        check: 'consumer-wrong-message',
        what: `${at} as "${value.slice(0, 30)}", and is "${(there ?? 'nothing').slice(0, 30)}"`,
      }
    next = offset + 1
    if (ack === 'auto') position = next
  }
  if (position !== stored.length)
    return {
      check: 'consumer-skipped',
      what: `it was told that nothing is left at ${position}, and the partition ends at ${stored.length}`,
    }
  return undefined
}
