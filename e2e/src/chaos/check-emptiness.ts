import { topicOf } from './check-copies.js'
import { groupBy } from './grouping.js'
import type { ConsumerHistory, SentMessage, Violation } from './history.js'

interface Known {
  readonly atMs: number
  /** Behind the last message of the partition that was acknowledged by then. */
  readonly end: number
}

/**
 * A consumer is told that nothing is left only when it has been given everything that was acknowledged
 * before it asked: a leader that was deposed and does not know would say so too early.
 */
export function checkEmptiness(
  consumers: readonly ConsumerHistory[],
  sent: readonly SentMessage[],
): readonly Violation[] {
  const ends = endsOf(sent)
  return consumers.flatMap((consumer) => {
    const fault = firstTooEarly(consumer, ends)
    return fault === undefined
      ? []
      : [{ check: 'consumer-told-empty', detail: `${consumer.name} (${consumer.ack}): ${fault}` }]
  })
}

/** By partition: how its end was known to move, in the order of time. */
function endsOf(sent: readonly SentMessage[]): ReadonlyMap<string, readonly Known[]> {
  const acknowledged = sent.flatMap((message) => message.acknowledged ?? [])
  const ends = new Map<string, readonly Known[]>()
  for (const [partition, list] of groupBy(acknowledged, (place) => place.partition)) {
    let end = 0
    const inTime = list.sort((a, b) => a.atMs - b.atMs)
    ends.set(
      partition,
      inTime.map(({ atMs, offset }) => ({ atMs, end: (end = Math.max(end, offset + 1)) })),
    )
  }
  return ends
}

function firstTooEarly(
  { events, topic }: ConsumerHistory,
  ends: ReadonlyMap<string, readonly Known[]>,
): string | undefined {
  const next = new Map<string, number>()
  const partitions = [...ends].filter(([partition]) => topicOf(partition) === topic)
  for (const event of events) {
    if (event.kind === 'skipped') continue
    if (event.kind !== 'empty') {
      next.set(event.partition, Math.max(next.get(event.partition) ?? 0, event.offset + 1))
      continue
    }
    for (const [partition, known] of partitions) {
      const end = endAt(known, event.startedMs)
      const given = next.get(partition) ?? 0
      if (given < end)
        return `it was told that nothing is left when it had ${partition} up to ${given}, and ${end} messages had been acknowledged before it asked`
    }
  }
  return undefined
}

function endAt(known: readonly Known[], atMs: number): number {
  let low = 0
  let high = known.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (known[middle]!.atMs < atMs) low = middle + 1
    else high = middle
  }
  return known[low - 1]?.end ?? 0
}
