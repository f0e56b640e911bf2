import { type Entry, type LogIndex, MessageKind, type NodeId, type Term } from '../../core/types.js'
import type { MemoryLog } from '../../storage/memory-log.js'
import { fingerprint } from './fingerprint.js'
import { holds, type InvariantCheck } from './invariant-check.js'

const TERMS_MAX = 0x10_0000

/**
 * I5. Raft paper, figure 3: "if two logs contain an entry with the same index and term, then the logs
 * are identical in all entries up through the given index." By induction: an index and a term name
 * one entry for ever, and the term of the one before it. An entry counts once it is durable somewhere, or
 * somebody else has heard of it: what a crash took back before may be another one next time.
 */
export function logMatching(): InvariantCheck {
  const known = new Map<number, { previousTerm: Term; fingerprint: number }>()

  function record(entry: Entry, previousTerm: Term): void {
    const key = entry.index * TERMS_MAX + entry.term
    if (!known.has(key)) known.set(key, { previousTerm, fingerprint: fingerprint(entry) })
  }

  function check(node: NodeId, entry: Entry, previousTerm: Term): void {
    const { index, term } = entry
    const before = known.get(index * TERMS_MAX + term)
    holds(
      before === undefined ||
        (before.fingerprint === fingerprint(entry) && before.previousTerm === previousTerm),
      'log matching',
      () => `${node} has another entry ${index} of term ${term}`,
    )
    holds(previousTerm <= term, 'terms in a log never decrease', () => `${node}: entry ${index}`)
  }

  return {
    settled({ node, changedFrom, log, disk }) {
      forChanged(log, changedFrom, (entry, previousTerm) => check(node, entry, previousTerm))
      forChanged(disk.log, disk.log.takeChangedFrom(), (entry, previousTerm) => record(entry, previousTerm))
    },
    sent({ node }, message, entries) {
      if (message.kind !== MessageKind.APPEND) return
      let previousTerm = message.logTerm
      for (const entry of entries) {
        check(node, entry, previousTerm)
        record(entry, previousTerm)
        previousTerm = entry.term
      }
    },
  }
}

function forChanged(
  log: MemoryLog,
  changedFrom: LogIndex,
  visit: (entry: Entry, previousTerm: Term) => void,
): void {
  for (let index = Math.max(changedFrom, log.compactedIndex + 1); index <= log.lastIndex; index++)
    visit(log.entry(index)!, log.term(index - 1)!)
}
