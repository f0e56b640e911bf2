import { groupBy } from './grouping.js'
import { type Contents, logStartOf, type SentMessage, type StoredMessage, type Violation } from './history.js'

/** Where in its partition an acknowledged message is missing, which tells what kind of bug lost it. */
type LossPart = 'prefix' | 'middle' | 'suffix'

interface Source {
  readonly name: string
  /** What is before it was deleted as it should be, or another check says so. */
  readonly start: number
  readonly partitions: ReadonlyMap<string, readonly StoredMessage[]>
}

/**
 * Every acknowledged message is at the place that was acknowledged, on every replica of its partition and
 * for who reads it. A message elsewhere, or another one in its place, is a loss as well.
 */
export function checkLosses(sent: readonly SentMessage[], contents: Contents): readonly Violation[] {
  const acknowledged = groupBy(
    sent.flatMap((message) =>
      message.acknowledged === undefined ? [] : [{ message, place: message.acknowledged }],
    ),
    ({ place }) => place.partition,
  )
  const violations: Violation[] = []
  for (const [partition, messages] of acknowledged) {
    const sources = sourcesOf(partition, contents)
    if (sources.length === 0)
      violations.push({
        check: 'lost',
        detail: `nobody holds ${partition}, where ${messages.length} messages were acknowledged`,
      })
    for (const { name, start, partitions } of sources) {
      const stored = partitions.get(partition) ?? []
      const byOffset = new Map(stored.map(({ offset, value }) => [offset, value]))
      const lost = messages.filter(
        ({ message, place }) => place.offset >= start && byOffset.get(place.offset) !== message.value,
      )
      if (lost.length === 0) continue
      const counts = countParts(
        lost.map(({ place }) => place.offset),
        stored,
      )
      const first = lost[0]!
      const there = byOffset.get(first.place.offset)
      violations.push({
        check: 'lost',
        detail:
          `${partition} on ${name}: ${lost.length} of ${messages.length} acknowledged messages are missing ` +
          `(prefix ${counts.prefix}, middle ${counts.middle}, suffix ${counts.suffix}); the first is ` +
          `${first.message.lane}#${first.message.number} at ${first.place.offset}, where there is ` +
          (there === undefined ? 'nothing' : `"${there.slice(0, 40)}"`),
      })
    }
  }
  return violations
}

function sourcesOf(partition: string, contents: Contents): readonly Source[] {
  const { replicas, read } = contents
  const sources: Source[] = replicas
    .filter(({ partitions }) => partitions.has(partition))
    .map(({ brokerId, partitions, starts }) => ({
      name: `broker ${brokerId}`,
      start: starts.get(partition) ?? 0,
      partitions,
    }))
  if (sources.length > 0)
    sources.push({ name: 'the API', start: logStartOf(partition, contents), partitions: read })
  return sources
}

function countParts(
  lostOffsets: readonly number[],
  stored: readonly StoredMessage[],
): Record<LossPart, number> {
  const counts = { prefix: 0, middle: 0, suffix: 0 }
  for (const offset of lostOffsets) counts[partOf(offset, stored)]++
  return counts
}

/** Of a partition that is empty everything is a lost suffix: its log does not reach so far. */
function partOf(offset: number, stored: readonly StoredMessage[]): LossPart {
  const last = stored.at(-1)
  if (last === undefined || offset > last.offset) return 'suffix'
  return offset < stored[0]!.offset ? 'prefix' : 'middle'
}
