import { join } from 'node:path'
import { Child } from './child.js'
import type { LoadShape } from './closed-loop.js'
import type { MemberLoadReport } from './member-calls.js'
import type { ModelCalls } from './model-calls.js'

/** Three processes of the floor model; the first leads. */
export class ModelCluster {
  readonly #children: readonly Child<ModelCalls>[]

  private constructor(children: readonly Child<ModelCalls>[]) {
    this.#children = children
  }

  static async start(directory: string): Promise<ModelCluster> {
    const children = [1, 2, 3].map((id) => new Child<ModelCalls>(`model ${id}`, { program: 'model-main.js' }))
    const [leader, ...followers] = children
    const ports = await Promise.all(
      followers.map((child, i) => child.call('follow', join(directory, `model-${i + 2}`))),
    )
    await leader!.call('lead', join(directory, 'model-1'), ports)
    return new ModelCluster(children)
  }

  load(shape: LoadShape): Promise<MemberLoadReport> {
    return this.#children[0]!.call('load', shape)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.end()))
  }
}
