import { membersOf } from '../../core/configuration.js'
import type { Entry, NodeId } from '../../core/types.js'
import { configurationText, entryText } from './message-text.js'
import { observe, standingText } from './observed.js'
import { parcelText } from './parcel.js'
import type { ScriptWorld } from './script-world.js'
import type { ScriptedNode } from './scripted-node.js'
import type { Command } from './world-commands.js'

/**
 * The commands that look, and change nothing.
 *
 * | command | |
 * | --- | --- |
 * | `raft-state [ID…]` | where every node stands |
 * | `raft-log [ID…]` | every entry, and what is not durable |
 * | `status ID` | what a leader knows of its peers |
 * | `in-flight` | what was sent and has not arrived |
 */
export const VIEW_COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  [
    'raft-state',
    (world, line) => {
      const ids = line.takeIds()
      const nodes = ids.length > 0 ? world.nodesOf(ids) : world.nodes
      for (const node of nodes) world.print(`${node.id} ${stateText(node)}`)
    },
  ],
  [
    'raft-log',
    (world, line) => {
      for (const node of world.nodesOf(line.takeIds())) printLog(world, node)
    },
  ],
  [
    'status',
    (world, line) => {
      const node = world.node(line.takeId())
      for (const peer of membersOf(node.core.configuration))
        if (peer !== node.id) world.print(`${peer} ${progressText(node, peer)}`)
    },
  ],
  [
    'in-flight',
    (world) => {
      for (const parcel of world.network.select({})) world.print(parcelText(parcel))
    },
  ],
])

function stateText(node: ScriptedNode): string {
  if (!node.isUp) return 'is down'
  const { core, log } = node
  const { commit, applied, configuration } = core
  const last = `last=${log.lastIndex}/${log.term(log.lastIndex) ?? 0}`
  return `${standingText(observe(core))} commit=${commit} applied=${applied} ${last} ${configurationText(configuration)}`
}

function printLog(world: ScriptWorld, node: ScriptedNode): void {
  const { log } = node
  const { compactedIndex, compactedTerm, lastIndex } = log
  if (compactedIndex > 0) world.print(`${node.id} compacted=${compactedIndex}/${compactedTerm}`)
  const durableIndex = node.isUp ? node.core.durableIndex : lastIndex
  const entries: readonly Entry[] = lastIndex > compactedIndex ? log.slice(compactedIndex + 1, lastIndex) : []
  for (const entry of entries)
    world.print(`${node.id} ${entryText(entry)}${entry.index > durableIndex ? ' not durable' : ''}`)
  if (entries.length === 0) world.print(`${node.id} has no entries`)
}

function progressText(node: ScriptedNode, peer: NodeId): string {
  const progress = node.core.progress(peer)
  if (progress === undefined) return 'unknown'
  const { state, match, next, recentActive, isLost } = progress
  return `${state} match=${match} next=${next}${recentActive ? ' active' : ''}${isLost ? ' lost' : ''}`
}
