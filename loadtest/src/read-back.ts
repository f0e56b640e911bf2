import type { Api } from './api.js'

export interface Readable {
  /** Messages delivered to one consumer, each counted once. */
  readonly count: number
  readonly duplicates: number
  /** What `/size` said before the first was read. */
  readonly sizeBefore: number
}

const batchMax = 1000
/** Empty answers in a row that end the reading before all that is expected has come. */
const emptyAnswersMax = 20

/** Reads everything that a consumer has not read yet. */
export async function countReadable(
  api: Api,
  topic: string,
  consumerId: number,
  expected: number,
): Promise<Readable> {
  const sizeBefore = await api.size(topic, consumerId)
  const seen = new Set<string>()
  let duplicates = 0
  let emptyAnswers = 0
  for (;;) {
    const messages = await api.consume(topic, consumerId, batchMax)
    for (const { partition, offset } of messages) {
      const place = `${partition}@${offset}`
      if (seen.has(place)) duplicates += 1
      else seen.add(place)
    }
    emptyAnswers = messages.length === 0 ? emptyAnswers + 1 : 0
    // Empty once is the end; with messages missing it is asked again before they are called lost.
    if (emptyAnswers > 0 && (seen.size >= expected || emptyAnswers >= emptyAnswersMax)) break
  }
  return { count: seen.size, duplicates, sizeBefore }
}
