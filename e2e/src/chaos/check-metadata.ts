import type { Contents, Registration, Violation } from './history.js'

/**
 * Every acknowledged registration is there, under its id and topic, in every broker's database; ids are
 * given once, and a call that began after another was answered has the higher one.
 */
export function checkMetadata(
  registrations: readonly Registration[],
  contents: Contents,
): readonly Violation[] {
  const acknowledged = registrations.filter(({ outcome }) => outcome === 'acknowledged')
  const violations = [...checkPresence(acknowledged, contents), ...checkAgreement(contents)]
  for (const kind of ['producer', 'consumer'] as const) {
    const given = acknowledged.filter((one) => one.kind === kind)
    violations.push(...checkIds(kind, given))
  }
  return violations
}

function checkPresence(acknowledged: readonly Registration[], contents: Contents): Violation[] {
  const violations: Violation[] = []
  const missing = (where: string, what: string): void => {
    violations.push({ check: 'metadata-lost', detail: `${where} lacks ${what}, which was acknowledged` })
  }
  for (const one of acknowledged) {
    if (one.kind === 'topic' && !contents.topics.includes(one.topic)) missing('the API', `topic ${one.topic}`)
    for (const { brokerId, topics, producers, consumers } of contents.metadata) {
      const where = `the database of broker ${brokerId}`
      if (!topics.includes(one.topic)) missing(where, `topic ${one.topic}`)
      if (one.id === undefined || one.kind === 'topic') continue
      const topic = (one.kind === 'producer' ? producers : consumers).get(one.id)
      if (topic !== one.topic)
        missing(where, `${one.kind} ${one.id} of ${one.topic} (it has ${topic ?? 'none'})`)
    }
  }
  return violations
}

function checkAgreement({ metadata }: Contents): Violation[] {
  const shown = metadata.map(({ brokerId, topics, producers, consumers }) => ({
    brokerId,
    text: JSON.stringify([topics.toSorted(), sortedEntries(producers), sortedEntries(consumers)]),
  }))
  const [first, ...others] = shown
  return others
    .filter(({ text }) => text !== first!.text)
    .map(({ brokerId }) => ({
      check: 'metadata-differs',
      detail: `the databases of brokers ${first!.brokerId} and ${brokerId} show different topics, producers or consumers`,
    }))
}

function sortedEntries(map: ReadonlyMap<number, string>): readonly (readonly [number, string])[] {
  return [...map].sort(([a], [b]) => a - b)
}

function checkIds(kind: string, given: readonly Registration[]): Violation[] {
  const violations: Violation[] = []
  const sorted = given.filter(({ id }) => id !== undefined).sort((a, b) => a.id! - b.id!)
  let earliest: Registration | undefined
  for (const one of sorted.toReversed()) {
    if (earliest?.id === one.id)
      violations.push({ check: 'metadata-ids', detail: `${kind} id ${one.id!} was given twice` })
    else if (earliest !== undefined && earliest.endedMs < one.startedMs)
      violations.push({
        check: 'metadata-ids',
        detail: `${kind} id ${one.id!} was given after ${earliest.id!}, to a call that began later`,
      })
    if (earliest === undefined || one.endedMs < earliest.endedMs) earliest = one
  }
  return violations
}
