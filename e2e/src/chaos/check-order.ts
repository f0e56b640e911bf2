import { groupBy } from './grouping.js'
import type { SentMessage, Violation } from './history.js'

const SHOWN_MAX = 5

interface Acknowledged {
  readonly message: SentMessage
  readonly offset: number
  readonly atMs: number
}

/**
 * Within a partition the messages of a lane have rising offsets, no two messages have the same place, and
 * what was acknowledged before another message was even sent lies in front of it, whoever sent it.
 */
export function checkOrder(sent: readonly SentMessage[]): readonly Violation[] {
  const acknowledged = sent.flatMap((message) =>
    message.acknowledged === undefined ? [] : [{ message, ...message.acknowledged }],
  )
  const byPartition = groupBy(acknowledged, ({ partition }) => partition)
  const violations: Violation[] = []
  for (const [partition, list] of byPartition) {
    list.sort((a, b) => a.offset - b.offset)
    violations.push(
      ...summed('same-place', partition, samePlaces(list)),
      ...summed('producer-order', partition, laneDisorder(list)),
      ...summed('real-time-order', partition, timeDisorder(list)),
    )
  }
  return violations
}

function samePlaces(sorted: readonly Acknowledged[]): readonly string[] {
  return sorted.flatMap((entry, i) => {
    const before = sorted[i - 1]
    if (before === undefined || before.offset !== entry.offset) return []
    return [`${name(before)} and ${name(entry)} were both acknowledged at ${entry.offset}`]
  })
}

function laneDisorder(sorted: readonly Acknowledged[]): readonly string[] {
  const last = new Map<string, Acknowledged>()
  const found: string[] = []
  for (const entry of sorted) {
    const before = last.get(entry.message.lane)
    if (before !== undefined && before.message.number > entry.message.number)
      found.push(`${name(before)} at ${before.offset} lies in front of ${name(entry)} at ${entry.offset}`)
    last.set(entry.message.lane, entry)
  }
  return found
}

/** From the end: an entry must not have been acknowledged… before one in front of it was first sent. */
function timeDisorder(sorted: readonly Acknowledged[]): readonly string[] {
  const found: string[] = []
  let earliest: Acknowledged | undefined
  for (const entry of sorted.toReversed()) {
    if (earliest !== undefined && earliest.atMs < entry.message.sentMs)
      found.push(
        `${name(entry)} at ${entry.offset} was sent after ${name(earliest)} at ${earliest.offset} was acknowledged`,
      )
    if (earliest === undefined || entry.atMs < earliest.atMs) earliest = entry
  }
  return found
}

function name({ message }: Acknowledged): string {
  return `${message.lane}#${message.number}`
}

function summed(check: string, partition: string, found: readonly string[]): readonly Violation[] {
  if (found.length === 0) return []
  const more = found.length > SHOWN_MAX ? '; …' : ''
  return [
    { check, detail: `${partition}: ${found.length} times: ${found.slice(0, SHOWN_MAX).join('; ')}${more}` },
  ]
}
