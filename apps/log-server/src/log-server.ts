import { randomBytes } from 'node:crypto'
import { rename, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { entropy } from '@sluice/foundation'
import type { TurnScheduler } from '@sluice/raft'
import type { LogServerArguments } from './arguments.js'
import { ClientDoor, logText } from './client-door.js'
import { LogNode, TICK_MS } from './log-node.js'
import { PeerDoor } from './peer-door.js'
import { type PeerIdentity, PeerLink } from './peer-link.js'

/** So long after `/exit` a node still takes part, for the sake of those that are not there yet. Milliseconds. */
const LINGER_MS = 3000

const turns: TurnScheduler = {
  soon: (run) => void setImmediate(run),
  every: (intervalMs, run) => {
    const timer = setInterval(run, intervalMs)
    return () => clearInterval(timer)
  },
}

export interface RunningLogServer {
  /** Resolves when the process may end: after `/exit`. */
  readonly ended: Promise<void>
  close(): void
}

/**
 * Starts one node.
 * @param folder has a folder `output/`
 * @throws when there is none, or the port is in use
 */
export async function startLogServer(
  settings: LogServerArguments,
  parts: { readonly folder: string; readonly onFatal: (error: Error) => void },
): Promise<RunningLogServer> {
  const output = join(parts.folder, 'output')
  await stat(output)
  const boot = randomBytes(8)
  const identity: PeerIdentity = {
    nodeId: settings.nodeId,
    boot: boot.toString('hex'),
    group: Buffer.from(settings.groupUuid).toString('hex'),
  }
  const links = new Map<number, PeerLink>()
  const node = new LogNode({
    nodeId: settings.nodeId,
    nodeCount: settings.nodes.length,
    groupUuid: settings.groupUuid,
    boot,
    random: entropy(),
    scheduler: turns,
    send: (peer, frame) => links.get(peer)?.send(frame),
    onFatal: parts.onFatal,
  })
  for (const [i, address] of settings.nodes.entries()) {
    const id = i + 1
    if (id === settings.nodeId) continue
    const link = new PeerLink({
      address,
      identity,
      random: entropy(),
      onDown: () => node.peerDown(id),
      onRefused: (reason) => parts.onFatal(new Error(`node ${id} refused this one: ${reason}`)),
    })
    links.set(id, link)
  }
  const peers = new PeerDoor({
    self: identity,
    nodeCount: settings.nodes.length,
    onFrame: (from, frame) => node.receive(from, frame),
  })
  let end: () => void = () => undefined
  const ended = new Promise<void>((resolve) => (end = resolve))
  const file = join(output, `${settings.outputId}-server-${settings.self.host}${settings.self.port}.csv`)
  const door = new ClientDoor(node, {
    crashed: () => {
      for (const link of links.values()) link.close()
      peers.close()
    },
    recovered: () => {
      peers.open()
      for (const link of links.values()) link.open()
    },
    writeLog: async () => {
      await writeFile(`${file}.part`, logText(node.entries))
      await rename(`${file}.part`, file)
    },
    exited: () => void setTimeout(end, LINGER_MS),
  })
  const server = createServer((request, response) => door.handle(request, response))
  server.on('upgrade', (request, socket, head) => peers.accept(request, socket, head))
  await listen(server, settings)
  const stopTicks = turns.every(TICK_MS, () => node.tick())
  for (const link of links.values()) link.open()
  return {
    ended,
    close: () => {
      stopTicks()
      node.close()
      peers.close()
      for (const link of links.values()) link.close()
      server.close()
      server.closeAllConnections()
    },
  }
}

function listen(server: Server, { self }: LogServerArguments): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: self.host, port: self.port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
