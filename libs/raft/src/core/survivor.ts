import { invariant } from '@sluice/foundation'
import type { LogIndex, LogView, NodeId, Term } from './types.js'

/** Where a term begins in a log. */
export type TermStart = readonly [from: LogIndex, term: Term]

/** A member's log, as far as others must know it to choose among several. */
export interface SurvivorLog {
  readonly node: NodeId
  /** What it knows to be committed. */
  readonly commit: LogIndex
  readonly lastIndex: LogIndex
  /** The terms from `commit` on: the first one is that of the entry at `commit`. Never empty. */
  readonly tail: readonly TermStart[]
}

/** The terms from `commit` to the end of a log; entries of a term are next to each other, and terms only grow. */
export function tailOf(log: Pick<LogView, 'lastIndex' | 'term'>, commit: LogIndex): readonly TermStart[] {
  const known = (index: LogIndex): Term => {
    const term = index === 0 ? 0 : log.term(index)
    invariant(term !== undefined, `entry ${index} is in the log`)
    return term
  }
  const tail: TermStart[] = [[commit, known(commit)]]
  for (let from = commit; ;) {
    const term = known(from)
    let low = from
    let high = log.lastIndex
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (known(middle) === term) low = middle
      else high = middle - 1
    }
    if (low >= log.lastIndex) return tail
    from = low + 1
    tail.push([from, known(from)])
  }
}

export function lastTermOf({ tail }: SurvivorLog): Term {
  return tail.at(-1)![1]
}

/**
 * The survivor whose log the others are to take. What any of them knows to be committed is kept before
 * anything else: without a majority the rule of elections alone (Raft paper §5.4.1) does not see to that. A
 * leader may tell a follower that an entry of an earlier term is committed before it sends the entry of its
 * own term by which it is; one that led in between, and was heard by nobody, then looks more up to date and
 * lacks the entry.
 */
export function bestSurvivor(survivors: readonly SurvivorLog[]): SurvivorLog | undefined {
  const knowing = survivors.reduce<SurvivorLog | undefined>(
    (most, log) => (most === undefined || log.commit > most.commit ? log : most),
    undefined,
  )
  if (knowing === undefined) return undefined
  const committed = { index: knowing.commit, term: knowing.tail[0]![1] }
  return survivors
    .filter((log) => termAt(log, committed.index) === committed.term)
    .sort((a, b) => lastTermOf(b) - lastTermOf(a) || b.lastIndex - a.lastIndex || a.node - b.node)[0]
}

/** Of an entry that is not before what the member knows to be committed; `undefined` where it has none. */
function termAt({ tail, lastIndex }: SurvivorLog, index: LogIndex): Term | undefined {
  if (index > lastIndex) return undefined
  return tail.findLast(([from]) => from <= index)?.[1]
}
