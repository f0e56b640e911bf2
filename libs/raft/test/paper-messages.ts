import { invariant } from '@sluice/foundation'
import { BLANK } from '../src/core/message.js'
import { MessageKind, type NodeId, type RaftMessage, Role } from '../src/core/types.js'
import { MemoryLog } from '../src/storage/memory-log.js'
import { CoreDriver, type DriverOptions, entriesOfTerms, nodeId } from '../src/testing/core-driver.js'

/** A message to node 1. */
export function messageFrom(
  sender: number,
  kind: MessageKind,
  fields: Partial<RaftMessage> = {},
): RaftMessage {
  return { ...BLANK, kind, from: nodeId(sender), to: nodeId(1), ...fields }
}

/** Node 1 with a log of these terms, all of it durable. */
export function nodeWith(terms: readonly number[], options: DriverOptions = {}): CoreDriver {
  return new CoreDriver({ log: MemoryLog.of(entriesOfTerms(terms)), ...options })
}

/** Makes node 1 the leader of the next term, by the votes of everybody. Its first entry is not durable yet. */
export function elect(driver: CoreDriver): CoreDriver {
  const { core } = driver
  core.campaign()
  for (const id of votersBesides(driver, nodeId(1)))
    driver.receive(messageFrom(id, MessageKind.PRE_VOTE_RESPONSE, { term: core.term + 1 }))
  driver.settle()
  for (const id of votersBesides(driver, nodeId(1)))
    driver.receive(messageFrom(id, MessageKind.VOTE_RESPONSE, { term: core.term }))
  invariant(core.role === Role.LEADER, 'everybody has voted for node 1')
  return driver
}

/** Node 1 leads, its first entry is durable here, and nobody else has answered. */
export function leaderWith(terms: readonly number[], options: DriverOptions = {}): CoreDriver {
  const driver = elect(nodeWith(terms, options))
  driver.settle()
  driver.takeSent()
  return driver
}

/** The sender has everything up to `index`. */
export function acknowledge(driver: CoreDriver, sender: number, index: number): void {
  driver.receive(messageFrom(sender, MessageKind.APPEND_RESPONSE, { term: driver.core.term, index }))
  driver.settle()
}

function votersBesides({ core }: CoreDriver, self: NodeId): readonly NodeId[] {
  const { voters, votersOutgoing } = core.configuration
  return [...new Set([...voters, ...votersOutgoing])].filter((id) => id !== self)
}

/** All subsets of a few things, the empty one first. */
export function subsets<Thing>(things: readonly Thing[]): readonly (readonly Thing[])[] {
  return Array.from({ length: 1 << things.length }, (_, mask) =>
    things.filter((_thing, i) => ((mask >> i) & 1) === 1),
  )
}

export function ids(...numbers: readonly number[]): readonly NodeId[] {
  return numbers.map(nodeId)
}
