import { holds, type InvariantCheck } from './invariant-check.js'

/** I15, for reads. Raft thesis §6.4: a read sees everything that was acknowledged before it began. */
export function freshReads(): InvariantCheck {
  return {
    readAnswered({ index, acknowledgedIndex }) {
      holds(index >= acknowledgedIndex, 'reads are fresh', () => `${index} after ${acknowledgedIndex}`)
    },
  }
}
