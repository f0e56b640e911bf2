import type { SequenceRow } from './rows.js'

/** How many batches of one producer are remembered; a retry of an older one is refused. As in Kafka. */
const REMEMBERED_BATCHES_MAX = 5

/** The fields of a record batch that identify it for duplicate suppression. */
export interface BatchIdentity {
  /** −1: the batch asks for no duplicate suppression. */
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly recordCount: number
}

export type SequenceVerdict =
  | { readonly kind: 'new' }
  | { readonly kind: 'duplicate'; readonly baseOffset: number }
  /** Older than what is stored: storing it now would break the producer's order. */
  | { readonly kind: 'stale' }

/** A gap is allowed: a batch that failed leaves one. Going back is not. */
export function judgeSequence(known: SequenceRow | undefined, batch: BatchIdentity): SequenceVerdict {
  if (known === undefined || batch.producerEpoch > known.epoch) return { kind: 'new' }
  if (batch.producerEpoch < known.epoch) return { kind: 'stale' }
  for (const stored of known.batches)
    if (stored.sequence === batch.baseSequence && stored.count === batch.recordCount)
      return { kind: 'duplicate', baseOffset: stored.baseOffset }
  return batch.baseSequence > known.lastSequence ? { kind: 'new' } : { kind: 'stale' }
}

/** What is remembered of the producer once the batch is stored at `baseOffset`. */
export function advanceSequence(
  known: SequenceRow | undefined,
  batch: BatchIdentity,
  stored: { readonly baseOffset: number; readonly at: number },
): SequenceRow {
  const earlier = known !== undefined && known.epoch === batch.producerEpoch ? known.batches : []
  return {
    producerId: batch.producerId,
    epoch: batch.producerEpoch,
    lastSequence: batch.baseSequence + batch.recordCount - 1,
    batches: [
      ...earlier.slice(-(REMEMBERED_BATCHES_MAX - 1)),
      { sequence: batch.baseSequence, count: batch.recordCount, baseOffset: stored.baseOffset },
    ],
    at: stored.at,
  }
}
