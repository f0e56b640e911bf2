import { ELECTION_MUTANTS } from './election-mutants.js'
import { HOST_MUTANTS } from './host-mutants.js'
import { LOG_MUTANTS } from './log-mutants.js'
import { MEMBERSHIP_MUTANTS } from './membership-mutants.js'
import type { Mutant } from './mutant.js'
import { RECOVERY_MUTANTS } from './recovery-mutants.js'

/** Bugs that real Raft implementations had. */
export const MUTANTS: readonly Mutant[] = [
  ...ELECTION_MUTANTS,
  ...LOG_MUTANTS,
  ...MEMBERSHIP_MUTANTS,
  ...HOST_MUTANTS,
  ...RECOVERY_MUTANTS,
]
