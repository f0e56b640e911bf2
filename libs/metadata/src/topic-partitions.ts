import type { PartitionInfo, TopicInfo } from './entities.js'

/*
 * A key belongs to one of the partitions that its topic was made with, for good; partitions that are added
 * take messages without a key. So no key ever moves, and only partitions without keys are closed again:
 *
 *     open ── closed by request ──▶ closing ── every consumer has read it, or it expired ──▶ removed
 */

export function isClosing(topic: TopicInfo, number: number): boolean {
  return topic.closing.includes(number)
}

/** Those that take messages, in the order of their numbers. */
export function openPartitions(topic: TopicInfo): readonly PartitionInfo[] {
  if (topic.closing.length === 0) return topic.partitions
  return topic.partitions.filter(({ number }) => !isClosing(topic, number))
}

/** The partition that a request to shrink closes: the newest one that takes messages, unless it has keys. */
export function nextToClose(topic: TopicInfo): PartitionInfo | undefined {
  const newest = openPartitions(topic).at(-1)
  return newest !== undefined && newest.number > topic.keyPartitions ? newest : undefined
}

/** A topic as an earlier version wrote it: nothing was closed, and keys went to all of its partitions. */
export function withPartitionFields(stored: TopicInfo): TopicInfo {
  const { settings, trimmed, keyPartitions, nextNumber, closing } = stored as Partial<TopicInfo>
  return {
    ...stored,
    settings: settings ?? {},
    trimmed: trimmed ?? false,
    keyPartitions: keyPartitions ?? stored.partitions.length,
    nextNumber: nextNumber ?? stored.partitions.length + 1,
    closing: closing ?? [],
  }
}
