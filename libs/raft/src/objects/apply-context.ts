import { invariant, type Random, SeededRandom } from '@sluice/foundation'

/** What a replicated method may know of the world: the same on every node. */
export interface ApplyContext {
  /** Position of the call in the log. */
  readonly index: number
  readonly term: number
  /** The leader's wall time when it took the call, milliseconds since 1970 UTC. Never goes back. */
  readonly timeMs: number
  /** The same numbers on every node. */
  readonly random: Random
}

let current: ApplyContext | undefined

/**
 * For the body of a replicated method, in place of the clock and of chance, which differ from node to node.
 * @throws InvariantError outside of one
 */
export function applyContext(): ApplyContext {
  invariant(current !== undefined, 'only a replicated method that is being carried out has a context')
  return current
}

/** Runs one call; methods are synchronous, so there is one at a time. */
export function withContext<T>(
  at: { readonly index: number; readonly term: number; readonly timeMs: number },
  run: () => T,
): T {
  const { index, term, timeMs } = at
  const outer = current
  let random: Random | undefined
  current = {
    index,
    term,
    timeMs,
    get random() {
      random ??= new SeededRandom(index)
      return random
    },
  }
  try {
    return run()
  } finally {
    current = outer
  }
}
