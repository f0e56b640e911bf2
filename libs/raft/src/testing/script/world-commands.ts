import type { ConfigurationResult, ProposeResult } from '../../core/leader.js'
import { type Entry, EntryKind, type NodeId } from '../../core/types.js'
import { MemoryLog } from '../../storage/memory-log.js'
import { command } from '../core-driver.js'
import type { CommandLine } from './command-line.js'
import { ScenarioError } from './scenario-error.js'
import type { ScriptWorld } from './script-world.js'
import type { NodeSettings } from './scripted-node.js'

export type Command = (world: ScriptWorld, line: CommandLine) => void

const NO_DATA = new Uint8Array(0)
const DEFAULT_ELECTION_TICKS = 10
const DEFAULT_HEARTBEAT_TICKS = 1

/**
 * The commands that make things happen. Nodes are numbered in the order in which they are added; where a
 * list of nodes is left out, all that run are meant.
 *
 * | command | |
 * | --- | --- |
 * | `add-nodes COUNT` | `voters=` (those added, when they are the first, else none) `learners=` `log=` terms of the entries, all durable; `compacted=` `term=` and limits of the core: `election=` `heartbeat=` `inflight=` `inflight-bytes=` `append-bytes=` `uncommitted-bytes=` `reads=` `quiesce=` |
 * | `campaign ID` | |
 * | `elect ID` | `by=`: campaigns, gets exactly these votes, leads, and has said nothing yet |
 * | `propose ID TEXT…` | |
 * | `propose-configuration ID` | `voters=` `learners=` `promotable=` |
 * | `transfer-leadership ID` | `to=` |
 * | `read-index ID TOKEN` | |
 * | `unreachable ID PEER`, `reachable ID PEER` | ID lost its link to PEER, has one again |
 * | `tick [ID…]` | `count=` |
 * | `tick-heartbeat [ID…]`, `tick-election [ID…]` | the ticks of a heartbeat, of the shortest election timeout |
 * | `set-election-timeout ID TICKS` | of every timer that starts from now on; else node 1 has the shortest one there is, and each further node one tick more |
 * | `turn [ID…]` | one turn of the host: hands out writes, sends what need not wait for them |
 * | `persist [ID…]` | `count=` of the oldest unsynced writes, else all: durable, and what waits for it leaves |
 * | `apply [ID…]` | what was handed out to be applied |
 * | `deliver` | `to=` `from=` `kind=` `count=` choose; `drop=` whose are lost; `latest` newest first; `keep` so that they arrive again |
 * | `stabilize [ID…]` | all of the above among these nodes, and snapshots, until nothing is left to do |
 * | `pass COUNT [ID…]` | so many ticks of these nodes, which stabilize after each |
 * | `snapshot ID PEER` | `index=`, else what is applied |
 * | `snapshot-failed ID PEER` | |
 * | `compact ID INDEX` | |
 * | `crash ID` | `kept=`: so many of the unsynced writes were on disk all the same |
 * | `restart ID` | `applied=`: what its state machine has, else what is compacted |
 */
export const WORLD_COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['add-nodes', addNodes],
  ['campaign', (world, line) => world.node(line.takeId()).step((core) => core.campaign())],
  [
    'elect',
    (world, line) => {
      const candidate = world.node(line.takeId())
      world.elect(
        candidate,
        (line.takeIdsOption('by') ?? []).map((id) => world.node(id)),
      )
    },
  ],
  ['propose', propose],
  ['propose-configuration', proposeConfiguration],
  ['transfer-leadership', transferLeadership],
  ['read-index', readIndex],
  [
    'unreachable',
    (world, line) => {
      const node = world.node(line.takeId())
      const peer = line.takeId()
      node.step((core) => core.unreachable(peer))
    },
  ],
  [
    'reachable',
    (world, line) => {
      const node = world.node(line.takeId())
      const peer = line.takeId()
      node.step((core) => core.reachable(peer))
    },
  ],
  ['tick', (world, line) => tick(world, line, () => line.takeNumberOption('count') ?? 1)],
  [
    'tick-heartbeat',
    (world, line) => tick(world, line, ({ heartbeatTicks = DEFAULT_HEARTBEAT_TICKS }) => heartbeatTicks),
  ],
  [
    'tick-election',
    (world, line) => tick(world, line, ({ electionTicks = DEFAULT_ELECTION_TICKS }) => electionTicks),
  ],
  ['set-election-timeout', setElectionTimeout],
  [
    'turn',
    (world, line) => {
      for (const node of world.nodesOf(line.takeIds())) node.turn()
    },
  ],
  ['persist', persist],
  [
    'apply',
    (world, line) => {
      for (const node of world.nodesOf(line.takeIds())) node.apply()
    },
  ],
  ['deliver', deliver],
  ['stabilize', (world, line) => world.stabilize(world.nodesOf(line.takeIds()))],
  ['pass', pass],
  [
    'snapshot',
    (world, line) => {
      const node = world.node(line.takeId())
      node.sendSnapshot(line.takeId(), line.takeNumberOption('index'))
    },
  ],
  [
    'snapshot-failed',
    (world, line) => {
      const node = world.node(line.takeId())
      const peer = line.takeId()
      node.step((core) => core.snapshotFailed(peer))
    },
  ],
  ['compact', (world, line) => world.node(line.takeId()).compact(line.takeNumber())],
  ['crash', (world, line) => world.node(line.takeId()).crash(line.takeNumberOption('kept') ?? 0)],
  ['restart', (world, line) => world.node(line.takeId()).restart(line.takeNumberOption('applied'))],
])

function addNodes(world: ScriptWorld, line: CommandLine): void {
  const count = line.takeNumber()
  const isFirst = world.nodes.length === 0
  const added = Array.from({ length: count }, (_, i) => (world.nextId + i) as NodeId)
  const voters = line.takeIdsOption('voters') ?? (isFirst ? added : [])
  const settings = settingsOf(voters, line)
  const terms = line.takeNumbersOption('log') ?? []
  const compacted = line.takeNumberOption('compacted') ?? 0
  const term = line.takeNumberOption('term') ?? terms.at(-1) ?? 0
  for (let i = 0; i < count; i++) {
    const log = MemoryLog.of(terms.map(emptyCommand))
    log.compact(compacted)
    world.addNode({ settings, log, term })
  }
}

function emptyCommand(term: number, i: number): Entry {
  return { index: i + 1, term, kind: EntryKind.COMMAND, data: NO_DATA }
}

function settingsOf(voters: readonly NodeId[], line: CommandLine): NodeSettings {
  const limits = {
    learners: line.takeIdsOption('learners'),
    electionTicks: line.takeNumberOption('election'),
    heartbeatTicks: line.takeNumberOption('heartbeat'),
    inflightMessagesMax: line.takeNumberOption('inflight'),
    inflightBytesMax: line.takeNumberOption('inflight-bytes'),
    appendBytesMax: line.takeNumberOption('append-bytes'),
    uncommittedBytesMax: line.takeNumberOption('uncommitted-bytes'),
    readsMax: line.takeNumberOption('reads'),
    quiesceTicks: line.takeNumberOption('quiesce'),
  }
  const given = Object.entries(limits).filter(([, value]) => value !== undefined)
  return { voters, ...(Object.fromEntries(given) as Partial<NodeSettings>) }
}

function propose(world: ScriptWorld, line: CommandLine): void {
  const node = world.node(line.takeId())
  const proposals = line.takeWords().map(command)
  tellResult(
    world,
    node.id,
    node.step((core) => core.propose(proposals)),
  )
}

function proposeConfiguration(world: ScriptWorld, line: CommandLine): void {
  const node = world.node(line.takeId())
  const change = {
    voters: line.takeIdsOption('voters') ?? node.core.configuration.voters,
    learners: line.takeIdsOption('learners') ?? [],
    promotable: line.takeIdsOption('promotable') ?? [],
  }
  tellResult(
    world,
    node.id,
    node.step((core) => core.changeConfiguration(change)),
  )
}

function tellResult(world: ScriptWorld, id: NodeId, result: ProposeResult | ConfigurationResult): void {
  switch (result.kind) {
    case 'accepted':
      world.print(`${id} accepts ${result.firstIndex}/${result.term}`)
      break
    case 'not-leader':
      world.print(`${id} refuses: not-leader leader=${result.leader}`)
      break
    case 'invalid':
      world.print(`${id} refuses: ${result.reason}`)
      break
    default:
      world.print(`${id} refuses: ${result.kind}`)
  }
}

function transferLeadership(world: ScriptWorld, line: CommandLine): void {
  const node = world.node(line.takeId())
  const to = line.takeIdsOption('to')?.[0]
  if (to === undefined) throw new ScenarioError('to= says who is to take over')
  if (!node.step((core) => core.transferLeadership(to))) world.print(`${node.id} refuses`)
}

function readIndex(world: ScriptWorld, line: CommandLine): void {
  const node = world.node(line.takeId())
  const token = line.takeNumber()
  const { kind } = node.step((core) => core.readIndex(token))
  if (kind !== 'accepted') world.print(`${node.id} refuses read ${token}: ${kind}`)
}

function tick(world: ScriptWorld, line: CommandLine, countOf: (settings: NodeSettings) => number): void {
  for (const node of world.nodesOf(line.takeIds())) {
    const count = countOf(node.settings)
    for (let i = 0; i < count; i++) node.step((core) => core.tick())
  }
}

function pass(world: ScriptWorld, line: CommandLine): void {
  const count = line.takeNumber()
  const nodes = world.nodesOf(line.takeIds())
  for (let i = 0; i < count; i++) {
    for (const node of nodes) node.step((core) => core.tick())
    world.stabilize(nodes)
  }
}

function setElectionTimeout(world: ScriptWorld, line: CommandLine): void {
  const node = world.node(line.takeId())
  const ticks = line.takeNumber()
  const shortest = node.settings.electionTicks ?? DEFAULT_ELECTION_TICKS
  if (ticks < shortest || ticks >= 2 * shortest)
    throw new ScenarioError(`an election timeout is in [${shortest}, ${2 * shortest})`)
  node.random.value = ticks - shortest
}

function persist(world: ScriptWorld, line: CommandLine): void {
  const count = line.takeNumberOption('count')
  for (const node of world.nodesOf(line.takeIds())) {
    const writes = count ?? node.unsyncedCount
    let synced = 0
    while (synced < writes && node.persist()) synced++
    if (synced > 0) world.print(`${node.id} durable=${node.core.durableIndex} unsynced=${node.unsyncedCount}`)
  }
}

function deliver(world: ScriptWorld, line: CommandLine): void {
  const filter = {
    to: line.takeIdsOption('to'),
    from: line.takeIdsOption('from'),
    kind: line.takeOption('kind'),
    count: line.takeNumberOption('count'),
    latest: line.takeFlag('latest'),
  }
  const options = { drop: line.takeIdsOption('drop') ?? [], keep: line.takeFlag('keep') }
  if (world.deliver(filter, options) === 0) world.print('nothing is on its way')
}
