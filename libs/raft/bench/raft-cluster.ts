import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { Child } from './child.js'
import type { LoadShape } from './closed-loop.js'
import type { MemberCalls, MemberEvent, MemberLoadReport, MemberUsage } from './member-calls.js'
import type { BenchContext } from './row.js'

export const MEMBER_IDS = [1, 2, 3] as const
export type MemberId = (typeof MEMBER_IDS)[number]

export interface RaftClusterOptions {
  readonly groups: number
  /** Who leads at first: node 1 leads all groups, or each node leads a third. */
  readonly leaders: 'first' | 'all'
  readonly countsMessages?: boolean
  /** Names the profiles. */
  readonly name: string
  readonly onEvent?: (event: MemberEvent) => void
}

interface Member {
  readonly child: Child<MemberCalls>
  readonly port: number
  readonly bootEpoch: number
}

/** Three nodes of the library, each in a process of its own. */
export class RaftCluster {
  readonly #context: BenchContext
  readonly #options: RaftClusterOptions
  readonly #directory: string
  readonly #members = new Map<MemberId, Member>()

  private constructor(context: BenchContext, options: RaftClusterOptions, directory: string) {
    this.#context = context
    this.#options = options
    this.#directory = directory
  }

  static async start(context: BenchContext, options: RaftClusterOptions): Promise<RaftCluster> {
    const directory = await mkdtemp(join(context.directory, `${options.name}-`))
    const cluster = new RaftCluster(context, options, directory)
    try {
      await cluster.#start()
      return cluster
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  member(id: MemberId): Child<MemberCalls> {
    return this.#members.get(id)!.child
  }

  /** The load on what node 1 leads. */
  load(shape: LoadShape): Promise<MemberLoadReport> {
    return this.member(1).call('load', shape)
  }

  usages(): Promise<readonly MemberUsage[]> {
    return Promise.all(MEMBER_IDS.map((id) => this.member(id).call('usage')))
  }

  /** Starts a node that was killed again, on its data. */
  async restart(id: MemberId): Promise<void> {
    const { port, bootEpoch } = this.#members.get(id)!
    await this.#spawn(id, port, bootEpoch + 1)
    const child = this.member(id)
    // Its peers dial, or are dialled, as before.
    await child.call('connect', this.#peersOf(id))
    await child.call('openGroups', this.#options.groups)
    await child.call('tick')
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ child }) => child.end()))
  }

  async #start(): Promise<void> {
    const { groups, leaders } = this.#options
    await Promise.all(MEMBER_IDS.map((id) => this.#spawn(id, 0, 1)))
    await this.#each((child, id) => child.call('connect', this.#peersOf(id)))
    await this.#each((child) => child.call('openGroups', groups))
    await this.#each((child) => child.call('settle'))
    const all = Array.from({ length: groups }, (_, i) => i + 1)
    for (const id of MEMBER_IDS) {
      const led = all.filter((group) => (leaders === 'first' ? id === 1 : (group % 3) + 1 === id))
      await this.member(id).call('lead', led)
    }
    await this.#each((child) => child.call('tick'))
  }

  async #spawn(id: MemberId, port: number, bootEpoch: number): Promise<void> {
    const { profileDirectory } = this.#context
    const { name, countsMessages = false, onEvent } = this.#options
    const child = new Child<MemberCalls>(`node ${id}`, {
      program: 'member-main.js',
      profile:
        profileDirectory === undefined
          ? undefined
          : { directory: profileDirectory, name: `${name}-node-${id}` },
      onEvent: (event) => onEvent?.(event as MemberEvent),
    })
    const listening = await child.call('start', {
      id,
      directory: join(this.#directory, `node-${id}`),
      port,
      bootEpoch,
      countsMessages,
    })
    this.#members.set(id, { child, port: listening, bootEpoch })
  }

  #peersOf(id: MemberId): readonly { readonly id: number; readonly port: number }[] {
    return MEMBER_IDS.filter((other) => other !== id).map((other) => ({
      id: other,
      port: this.#members.get(other)!.port,
    }))
  }

  async #each(act: (child: Child<MemberCalls>, id: MemberId) => Promise<void>): Promise<void> {
    await Promise.all(MEMBER_IDS.map((id) => act(this.member(id), id)))
  }
}
