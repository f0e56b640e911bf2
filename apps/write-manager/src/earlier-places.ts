import type { PartitionInfo } from '@sluice/metadata'

/** For so long it is known what was sent under an id, and looked for. */
const WINDOW_MS = 10 * 60_000
/**
 * A partition takes messages that are placed by their ids so long after it was made: longer than any write
 * manager may be behind the metadata, and their clocks apart, so that none of them places by fewer.
 */
const SETTLING_MS = 30_000

/** A topic's partitions as a message was placed by them: all of a sudden there is one more. */
type PartitionsThen = readonly PartitionInfo[]

/**
 * The partitions by which messages with ids are placed: now, and before in the time for which repeated ones are
 * recognised, newest first.
 */
export function placedById(partitions: PartitionsThen, now: number): readonly PartitionsThen[] {
  return history(partitions, now - SETTLING_MS)
}

function history(partitions: PartitionsThen, now: number): readonly PartitionsThen[] {
  const newest = countAt(partitions, now)
  const oldest = countAt(partitions, now - WINDOW_MS)
  const then: PartitionsThen[] = []
  for (let count = newest; count >= oldest; count--)
    then.push(count === partitions.length ? partitions : partitions.slice(0, count))
  return then
}

/** Those that were made with the topic were there from its start. */
function countAt(partitions: PartitionsThen, time: number): number {
  const start = partitions[0]!.createdAt
  let count = partitions.length
  while (count > 1 && partitions[count - 1]!.createdAt > Math.max(time, start)) count--
  return count
}
