import { type Contents, logStartOf, type StoredMessage, type Violation } from './history.js'

/** Offsets begin where the log starts and have no gaps, and every replica of a partition holds the same messages. */
export function checkReplicas(contents: Contents, replicationFactor: number): readonly Violation[] {
  const violations: Violation[] = []
  const names = new Set(contents.replicas.flatMap(({ partitions }) => [...partitions.keys()]))
  for (const partition of names) {
    const holders = contents.replicas.flatMap(({ brokerId, partitions, starts }) => {
      const stored = partitions.get(partition)
      const start = starts.get(partition) ?? 0
      return stored === undefined ? [] : [{ name: `broker ${brokerId}`, stored, start }]
    })
    if (holders.length !== replicationFactor)
      violations.push({
        check: 'replica-count',
        detail: `${partition} is on ${holders.map(({ name }) => name).join(', ')}, not on ${replicationFactor} brokers`,
      })
    const read = contents.read.get(partition)
    const all =
      read === undefined
        ? holders
        : [...holders, { name: 'the API', stored: read, start: logStartOf(partition, contents) }]
    for (const one of all) violations.push(...checkDense(partition, one))
    const [first, ...others] = all
    for (const other of others) {
      const difference = firstDifference(first!.stored, other.stored)
      if (difference !== undefined)
        violations.push({
          check: 'replicas-differ',
          detail: `${partition}: ${first!.name} and ${other.name} differ from position ${difference} on: ${describe(first!.stored, difference)} and ${describe(other.stored, difference)}`,
        })
    }
  }
  return violations
}

function checkDense(
  partition: string,
  {
    name,
    stored,
    start,
  }: { readonly name: string; readonly stored: readonly StoredMessage[]; readonly start: number },
): readonly Violation[] {
  const at = stored.findIndex(({ offset }, i) => offset !== start + i)
  if (at < 0) return []
  return [
    {
      check: 'offsets',
      detail: `${partition} on ${name}: offset ${stored[at]!.offset} is at position ${at} of a log that starts at ${start}, after ${stored[at - 1]?.offset ?? 'nothing'}`,
    },
  ]
}

function firstDifference(a: readonly StoredMessage[], b: readonly StoredMessage[]): number | undefined {
  const length = Math.max(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i]?.offset !== b[i]?.offset || a[i]?.value !== b[i]?.value) return i
  return undefined
}

function describe(stored: readonly StoredMessage[], at: number): string {
  const message = stored[at]
  return message === undefined
    ? `nothing (${stored.length} messages)`
    : `${message.offset} "${message.value.slice(0, 30)}"`
}
