import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SYNC_GROUP_ID } from '../src/node/data-directory.js'
import type { HostedGroup } from '../src/node/hosted-group.js'
import type { NodeEvent } from '../src/node/node-event.js'
import { RaftNode } from '../src/node/raft-node.js'
import { type SyncObjectConfig, validateConfig } from '../src/node/sync-object-config.js'
import { ListMachine } from './node-list-machine.js'

export const FAST: Partial<SyncObjectConfig> = {
  tickMs: 10,
  heartbeatMs: 20,
  electionMinMs: 150,
  electionMaxMs: 300,
  connectionTimeoutMs: 600,
  connectionRetryMs: 10,
  connectionRetryMaxMs: 50,
  quorumTimeoutMs: 10_000,
  dynamicMembership: true,
}

export interface Member {
  readonly address: string | undefined
  readonly node: RaftNode
  readonly group: HostedGroup
  readonly machine: ListMachine
  readonly events: readonly NodeEvent[]
  /** Resolves when the address is bound. */
  readonly started: Promise<void>
}

/** Ports that were free a moment ago, each once. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(0, host, resolve)
      })
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Nodes over TCP on this machine, each with a data directory of its own. */
export class TcpCluster {
  readonly addresses: readonly string[]
  readonly #root: string
  readonly #config: Partial<SyncObjectConfig>
  readonly #members = new Set<Member>()

  private constructor(root: string, addresses: readonly string[], config: Partial<SyncObjectConfig>) {
    this.#root = root
    this.addresses = addresses
    this.#config = config
  }

  static async make(
    count: number,
    config: Partial<SyncObjectConfig> = {},
    host = '127.0.0.1',
  ): Promise<TcpCluster> {
    const ports = await freePorts(count, host.includes(':') ? host : '127.0.0.1')
    const root = await mkdtemp(join(tmpdir(), 'raft-cluster-'))
    const spelt = host.includes(':') ? `[${host}]` : host
    return new TcpCluster(
      root,
      ports.map((port) => `${spelt}:${port}`),
      config,
    )
  }

  directory(index: number): string {
    return join(this.#root, `node-${index}`)
  }

  /** Starts the node of an index; its data directory is what an earlier start left. */
  async start(
    index: number,
    settings: { config?: Partial<SyncObjectConfig>; others?: readonly string[]; join?: boolean } = {},
  ): Promise<Member> {
    const config = { ...this.#config, dataDirectory: this.directory(index), ...settings.config }
    return this.open(this.addresses[index], settings.others ?? this.addresses, config, settings.join)
  }

  async open(
    self: string | undefined,
    others: readonly string[],
    config: Partial<SyncObjectConfig>,
    join = false,
  ): Promise<Member> {
    const machine = new ListMachine()
    const events: NodeEvent[] = []
    const node = await RaftNode.open({
      self,
      others,
      join,
      config: validateConfig({ ...FAST, ...config }),
      onEvent: (event) => void events.push(event),
      onFatal: () => undefined,
    })
    const group = await node.openGroup({
      id: SYNC_GROUP_ID,
      name: 'list',
      machine,
      setVersion: () => Promise.resolve(),
      versions: () => ({ self: 0, enabled: 0 }),
    })
    const started = node.start()
    started.catch(() => undefined)
    const member: Member = { address: self, node, group, machine, events, started }
    this.#members.add(member)
    return member
  }

  async startAll(): Promise<Member[]> {
    const members = await Promise.all(this.addresses.map((_, index) => this.start(index)))
    await Promise.all(members.map(({ group }) => group.ready))
    return members
  }

  async stop(member: Member): Promise<void> {
    this.#members.delete(member)
    await member.node.destroy()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#members].map(({ node }) => node.destroy()))
    await rm(this.#root, { recursive: true, force: true })
  }
}

export const submit = (member: Member, text: string): Promise<unknown> =>
  member.group.node.submit(new TextEncoder().encode(text))
