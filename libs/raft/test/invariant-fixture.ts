import { expect } from '@jest/globals'
import { encodeConfiguration, simpleConfiguration } from '../src/core/configuration.js'
import { BLANK } from '../src/core/message.js'
import type { PeerProgress } from '../src/core/progress.js'
import {
  type Configuration,
  type Entry,
  EntryKind,
  type HardState,
  type NodeId,
  type RaftMessage,
  Role,
} from '../src/core/types.js'
import { MemoryLog } from '../src/storage/memory-log.js'
import type { Call } from '../src/testing/call.js'
import { contextOf, encodeCommand } from '../src/testing/invariants/fingerprint.js'
import {
  InvariantBroken,
  type ObservedDisk,
  type ObservedGroup,
  type ObservedReplica,
} from '../src/testing/invariants/invariant-check.js'

const TAG = 1001

export function id(value: number): NodeId {
  return value as NodeId
}

export function configuration(voters: readonly number[], more: Partial<Configuration> = {}): Configuration {
  return { ...simpleConfiguration(voters.map(id)), context: contextOf(TAG), ...more }
}

/** An entry with a command of its own. */
export function entry(index: number, term: number, serial = index, tag = TAG): Entry {
  const data = encodeCommand({ serial, key: 0, expected: 0, tag, isSwap: false }, 0)
  return { index, term, kind: EntryKind.COMMAND, data }
}

export function configurationEntry(index: number, term: number, of: Configuration): Entry {
  return { index, term, kind: EntryKind.CONFIGURATION, data: encodeConfiguration(of) }
}

/** A log of entries of these terms. */
export function logOf(...terms: readonly number[]): MemoryLog {
  return MemoryLog.of(terms.map((term, i) => entry(i + 1, term)))
}

export function diskOf(log: MemoryLog, hardState: Partial<HardState> = {}): ObservedDisk {
  return { log, hardState: { term: 0, vote: 0, commit: 0, ...hardState } }
}

/** A follower of node 1 in term 1, one of three, with nothing in its log, unless told otherwise. */
export function replica(given: Partial<ObservedReplica> = {}): ObservedReplica {
  const log = given.log ?? new MemoryLog()
  return {
    node: id(1),
    opening: 1,
    role: Role.FOLLOWER,
    term: 1,
    leader: id(1),
    commit: 0,
    applied: 0,
    isQuiesced: false,
    configuration: configuration([1, 2, 3]),
    hardState: { term: 1, vote: 0, commit: 0 },
    log,
    changedFrom: 1,
    disk: diskOf(log),
    stateHash: 0,
    waitingCount: 0,
    silentTicks: () => 0,
    progress: () => undefined,
    ...given,
  }
}

export function leader(given: Partial<ObservedReplica> = {}): ObservedReplica {
  return replica({ role: Role.LEADER, ...given })
}

export function group(given: Partial<ObservedGroup> = {}): ObservedGroup {
  return {
    tag: TAG,
    initial: configuration([1, 2, 3]),
    limits: {
      inflightMessagesMax: 2,
      inflightBytesMax: 100,
      appendBytesMax: 100,
      uncommittedBytesMax: 200,
      readsMax: 2,
    },
    keepsLogs: false,
    lostDisk: () => undefined,
    hasLost: () => false,
    electionTicks: 10,
    disk: () => undefined,
    replicas: () => [],
    ...given,
  }
}

export function progress(given: Partial<PeerProgress>): PeerProgress {
  return { match: 0, next: 1, state: 'replicate', recentActive: true, isLost: false, ...given }
}

export function message(given: Partial<RaftMessage>): RaftMessage {
  return { ...BLANK, from: id(1), to: id(2), term: 1, ...given }
}

let lastSerial = 1000

/** A write that was done at its index, unless told otherwise. */
export function call(given: Partial<Call> = {}): Call {
  return {
    serial: lastSerial++,
    kind: 'write',
    key: 0,
    expected: 0,
    invokedAt: 1,
    outcome: 'done',
    answeredAt: 2,
    previous: 0,
    index: 1,
    applied: 1,
    ...given,
  }
}

/** Sees that this law is broken, and by this step: what came before broke nothing. */
export function expectBroken(law: string, run: () => void): void {
  let broken: unknown
  try {
    run()
  } catch (error) {
    broken = error
  }
  expect(broken).toBeInstanceOf(InvariantBroken)
  expect((broken as InvariantBroken).message).toContain(law)
}
