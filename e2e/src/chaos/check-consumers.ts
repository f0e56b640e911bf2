import { topicOf } from './check-copies.js'
import { groupBy } from './grouping.js'
import {
  type ConsumerEvent,
  type ConsumerHistory,
  type Contents,
  type History,
  logStartOf,
  type StoredMessage,
  type Violation,
} from './history.js'

/**
 * A consumer that acknowledges on delivery is given every message once, in order, and nothing else. One
 * that acknowledges by itself is given, each time, what begins right behind its last acknowledgement. Both
 * end at the partition's end. What was deleted before they read it is told to them with its number.
 */
export function checkConsumers(
  { consumers, sent }: Pick<History, 'consumers' | 'sent'>,
  contents: Contents,
): readonly Violation[] {
  const violations: Violation[] = []
  // Of messages that were deleted since, only the clients know what they were.
  const acknowledged = new Map(
    sent.flatMap(({ acknowledged: place, value }) =>
      place === undefined ? [] : [[`${place.partition}@${place.offset}`, value]],
    ),
  )
  for (const consumer of consumers) {
    const placed = consumer.events.filter((event) => event.kind !== 'empty')
    const byPartition = groupBy(placed, ({ partition }) => partition)
    const partitions = new Set([
      ...byPartition.keys(),
      ...[...contents.read.keys()].filter((partition) => topicOf(partition) === consumer.topic),
    ])
    for (const partition of partitions) {
      const stored = contents.read.get(partition) ?? []
      const start = logStartOf(partition, contents)
      const fault = followPosition(byPartition.get(partition) ?? [], consumer, {
        start,
        end: start + stored.length,
        at: (offset) =>
          offset < start ? acknowledged.get(`${partition}@${offset}`) : (stored[offset - start]?.value ?? ''),
      })
      if (fault !== undefined)
        violations.push({
          check: fault.check,
          detail: `${consumer.name} (${consumer.ack}), ${partition}: ${fault.what}`,
        })
    }
  }
  return violations
}

/** What a partition held, and holds. */
interface Log {
  readonly start: number
  readonly end: number
  /** Undefined of a deleted message whose acknowledgement was lost; empty where nothing is. */
  at(offset: number): StoredMessage['value'] | undefined
}

interface Fault {
  readonly check: 'consumer-went-back' | 'consumer-skipped' | 'consumer-wrong-message'
  readonly what: string
}

function byCall({ call }: { readonly call?: string }): string {
  return call === undefined ? '' : ` by ${call}`
}

/** What became of an offset that did not come in its turn. */
function laterOf(events: readonly Exclude<ConsumerEvent, { kind: 'empty' }>[], missed: number): string {
  for (const event of events)
    if (event.kind === 'delivered' && event.offset === missed)
      return `${missed} came at ${(event.atMs / 1000).toFixed(1)} s${byCall(event)}`
  return `${missed} never came`
}

/** The first fault of one consumer in one partition: what follows it is often its consequence. */
function followPosition(
  events: readonly Exclude<ConsumerEvent, { kind: 'empty' }>[],
  { ack, isLate, end }: ConsumerHistory,
  log: Log,
): Fault | undefined {
  /** Next offset to be acknowledged. */
  let position = 0
  /** Next offset within what is shown since the last acknowledgement. */
  let next = 0
  let isFirst = isLate
  for (const [i, event] of events.entries()) {
    if (event.kind === 'acknowledged') {
      position = next = Math.max(position, event.offset + 1)
      continue
    }
    if (event.kind === 'skipped') {
      next = (ack === 'auto' ? next : position) + event.count
      if (next > log.start)
        return {
          check: 'consumer-skipped',
          what: `${event.count} messages before ${next} were said to be deleted, and the log starts at ${log.start}`,
        }
      if (ack === 'auto') position = next
      continue
    }
    const { offset, value, atMs } = event
    const at = `at ${(atMs / 1000).toFixed(1)} s offset ${offset} was delivered${byCall(event)}`
    if (isFirst) position = next = offset
    isFirst = false
    // Shown again from the position on: that is what manual acknowledgement means.
    if (ack === 'manual' && offset === position) next = position
    if (offset < next) return { check: 'consumer-went-back', what: `${at} when ${next} was next` }
    if (offset > next)
      return {
        check: 'consumer-skipped',
        what: `${at} when ${next} was next; ${laterOf(events.slice(i), next)}`,
      }
    const there = log.at(offset)
    if (there !== undefined && there !== value)
      return {
        check: 'consumer-wrong-message',
        what: `${at} as "${value.slice(0, 30)}", and is "${there.slice(0, 30)}"`,
      }
    next = offset + 1
    if (ack === 'auto') position = next
  }
  if (end === 'nothing-left' && position !== log.end && !(isFirst && log.start === log.end))
    return {
      check: 'consumer-skipped',
      what: `it was told that nothing is left at ${position}, and the partition ends at ${log.end}`,
    }
  return undefined
}
