import type { Contents, SentMessage, StoredMessage, Violation } from './history.js'

const SHOWN_MAX = 5

/**
 * Nothing is stored that nobody sent, and nothing twice: every attempt carried the same id. An attempt that
 * was answered with "nothing changed" must not have stored anything.
 */
export function checkCopies(sent: readonly SentMessage[], contents: Contents): readonly Violation[] {
  const byValue = new Map(sent.map((message) => [message.value, message]))
  const violations: Violation[] = []
  for (const { name, partitions } of views(contents)) {
    const invented: string[] = []
    const copies = new Map<SentMessage, number>()
    for (const [partition, stored] of partitions)
      for (const { offset, value } of stored) {
        const message = byValue.get(value)
        if (message?.topic !== topicOf(partition))
          invented.push(`${partition}@${offset} "${value.slice(0, 40)}"`)
        else copies.set(message, (copies.get(message) ?? 0) + 1)
      }
    violations.push(...summed('invented', name, 'messages that nobody sent there', invented))
    const twice: string[] = []
    const denied: string[] = []
    for (const [message, count] of copies) {
      const once = message.acknowledged === undefined ? 0 : 1
      const allowed = Math.max(once, Math.min(1, message.unknownAttempts))
      if (count <= allowed) continue
      const text =
        `${message.lane}#${message.number}: ${count} copies, ${once} acknowledged, ` +
        `${message.unknownAttempts} attempts open, ${message.refusedAttempts} refused`
      if (allowed === 0) denied.push(text)
      else twice.push(text)
    }
    violations.push(...summed('duplicate', name, 'messages stored too often', twice))
    violations.push(
      ...summed('wrong-refusal', name, 'messages stored though all attempts were refused', denied),
    )
  }
  return violations
}

interface View {
  readonly name: string
  readonly partitions: ReadonlyMap<string, readonly StoredMessage[]>
}

/** What the replicas hold together, each partition once; differences between them are another check's. */
function views({ replicas, read }: Contents): readonly View[] {
  const union = new Map<string, readonly StoredMessage[]>()
  for (const { partitions } of replicas)
    for (const [partition, stored] of partitions)
      if ((union.get(partition)?.length ?? -1) < stored.length) union.set(partition, stored)
  return [
    { name: 'the replicas', partitions: union },
    { name: 'the API', partitions: read },
  ]
}

/** `orders.2` is of `orders`. */
export function topicOf(partition: string): string {
  return partition.slice(0, partition.lastIndexOf('.'))
}

function summed(check: string, where: string, what: string, found: readonly string[]): readonly Violation[] {
  if (found.length === 0) return []
  const shown = found.slice(0, SHOWN_MAX).join('; ')
  const more = found.length > SHOWN_MAX ? '; …' : ''
  return [{ check, detail: `${where}: ${found.length} ${what}: ${shown}${more}` }]
}
