import { SnapshotAbandonedError } from './errors.js'

/**
 * Gives the chunks until the signal ends it, also in the middle of waiting for one.
 * @throws SnapshotAbandonedError
 */
export async function* untilAborted(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  let isDone = false
  let abort: () => void = () => undefined
  const aborted = new Promise<never>((_, reject) => {
    abort = () =>
      reject(new SnapshotAbandonedError('the snapshot is not wanted any more', { cause: signal.reason }))
  })
  aborted.catch(() => undefined)
  signal.addEventListener('abort', abort)
  try {
    if (signal.aborted) abort()
    for (;;) {
      const next = await Promise.race([aborted, iterator.next()])
      if (next.done === true) {
        isDone = true
        return
      }
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    // Whoever made the chunks may be stuck for ever: he is told, not waited for.
    if (!isDone) iterator.return?.().catch(() => undefined)
  }
}

/** All bytes of something that is read by position. */
export async function* chunksOf(
  source: { readonly sizeBytes: number; read(offset: number, lengthMax: number): Promise<Uint8Array> },
  lengthMax: number,
): AsyncIterable<Uint8Array> {
  for (let at = 0; at < source.sizeBytes;) {
    const chunk = await source.read(at, lengthMax)
    if (chunk.length === 0)
      throw new SnapshotAbandonedError(`a snapshot of ${source.sizeBytes} bytes ends at ${at}`)
    yield chunk
    at += chunk.length
  }
}
