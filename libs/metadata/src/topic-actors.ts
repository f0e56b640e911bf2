/** Producers or consumers: by id, and by the topic that each is registered for. Every look-up costs O(1). */
export class TopicActors<T extends { readonly id: number; readonly topic: string }> {
  readonly #byId = new Map<number, T>()
  readonly #byTopic = new Map<string, Set<number>>()

  get size(): number {
    return this.#byId.size
  }

  get(id: number): T | undefined {
    return this.#byId.get(id)
  }

  /** In the order they came. */
  all(): IterableIterator<T> {
    return this.#byId.values()
  }

  of(topic: string): ReadonlySet<number> {
    return this.#byTopic.get(topic) ?? NOBODY
  }

  put(actor: T): void {
    this.#byId.set(actor.id, actor)
    const ids = this.#byTopic.get(actor.topic)
    if (ids === undefined) this.#byTopic.set(actor.topic, new Set([actor.id]))
    else ids.add(actor.id)
  }

  /** Takes all of a topic out; returns their ids. */
  removeOf(topic: string): readonly number[] {
    const ids = [...this.of(topic)]
    for (const id of ids) this.#byId.delete(id)
    this.#byTopic.delete(topic)
    return ids
  }
}

const NOBODY: ReadonlySet<number> = new Set()
