import type { MethodDefinition } from './definition.js'

export interface TableMethod extends MethodDefinition {
  readonly object: string
  readonly target: object
}

/**
 * The replicated methods of all objects with a number each. They are ordered by version first, so that
 * code that adds methods of a later version leaves the numbers of all earlier ones as they are.
 */
export class MethodTable {
  readonly #methods: readonly TableMethod[]
  readonly #ids = new Map<string, { readonly version: number; readonly id: number }[]>()

  /** @param methods in the order in which the objects were added */
  constructor(methods: readonly TableMethod[]) {
    const order = new Map<string, number>()
    for (const { object } of methods) if (!order.has(object)) order.set(object, order.size)
    this.#methods = [...methods].sort(
      (a, b) =>
        a.version - b.version ||
        order.get(a.object)! - order.get(b.object)! ||
        (a.implementation < b.implementation ? -1 : 1),
    )
    for (const [id, { object, name, version }] of this.#methods.entries()) {
      const key = keyOf(object, name)
      const versions = this.#ids.get(key) ?? []
      versions.push({ version, id })
      this.#ids.set(key, versions)
    }
  }

  /** The highest version of any method. */
  get version(): number {
    return this.#methods.at(-1)?.version ?? 0
  }

  /**
   * `undefined` for a number that nothing has. A node that is not stopped has all methods that the group
   * may use, so such a call is nobody's, on every node alike.
   */
  at(id: number): TableMethod | undefined {
    return this.#methods[id]
  }

  /** The number of the newest version of a method that the group may use; `undefined` when there is none. */
  idOf(object: string, name: string, version: number): number | undefined {
    return this.#ids.get(keyOf(object, name))?.findLast((candidate) => candidate.version <= version)?.id
  }

  /** Whether the object has a replicated method of this name, of any version. */
  has(object: string, name: string): boolean {
    return this.#ids.has(keyOf(object, name))
  }
}

function keyOf(object: string, name: string): string {
  return `${object} ${name}`
}
