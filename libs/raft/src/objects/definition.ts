import { ReplicatedDefinitionError } from './errors.js'

/** One version of a replicated method. */
export interface MethodDefinition {
  /** What callers call. */
  readonly name: string
  /** The method that carries it out; another one for each version. */
  readonly implementation: string
  /** The code version that brought it. */
  readonly version: number
}

export interface ReplicatedOptions {
  /** The code version that brings this method. Default 0. */
  readonly version?: number
  /** The method that this is another version of: callers call that name. Default its own name. */
  readonly of?: string
}

type AnyMethod = (this: never, ...args: never[]) => unknown

/** By object. Decorators say it when the object is made. */
const definitions = new WeakMap<object, Map<string, MethodDefinition>>()

/**
 * Marks a method as one that changes replicated state: called through a handle, it is carried out on all
 * nodes, in one order. It must be synchronous and depend on nothing but its arguments, the state and
 * `applyContext()`.
 *
 *     class Counter {
 *       value = 0
 *       \@replicated add(by: number): number { return (this.value += by) }
 *       \@replicated({ version: 1, of: 'add' }) addChecked(by: number): number { … }
 *     }
 */
export function replicated(method: AnyMethod, context: ClassMethodDecoratorContext): void
export function replicated(
  options: ReplicatedOptions,
): (method: AnyMethod, context: ClassMethodDecoratorContext) => void
export function replicated(
  first: AnyMethod | ReplicatedOptions,
  context?: ClassMethodDecoratorContext,
): unknown {
  if (typeof first === 'function') {
    mark(context!, {})
    return undefined
  }
  return (_method: AnyMethod, ofMethod: ClassMethodDecoratorContext) => mark(ofMethod, first)
}

function mark(context: ClassMethodDecoratorContext, options: ReplicatedOptions): void {
  const implementation = context.name
  if (typeof implementation !== 'string' || context.static || context.private)
    throw new ReplicatedDefinitionError('only public methods of instances with plain names are replicated')
  context.addInitializer(function (this: unknown) {
    define(this as object, [
      { name: options.of ?? implementation, implementation, version: options.version ?? 0 },
    ])
  })
}

/**
 * The same without decorators: names the replicated methods of an object.
 *
 *     defineReplicated(counter, { add: {}, addChecked: { version: 1, of: 'add' } })
 */
export function defineReplicated<T extends object>(
  object: T,
  methods: { readonly [K in keyof T]?: ReplicatedOptions },
): T {
  define(
    object,
    Object.entries(methods as Record<string, ReplicatedOptions>).map(([implementation, options]) => ({
      name: options.of ?? implementation,
      implementation,
      version: options.version ?? 0,
    })),
  )
  return object
}

/** The replicated methods of an object, of all versions. @throws ReplicatedDefinitionError */
export function definitionsOf(object: object): readonly MethodDefinition[] {
  const found = [...(definitions.get(object)?.values() ?? [])]
  if (found.length === 0) throw new ReplicatedDefinitionError('the object has no replicated method')
  for (const { name, implementation, version } of found) {
    if (typeof (object as Record<string, unknown>)[implementation] !== 'function')
      throw new ReplicatedDefinitionError(`${implementation} is no method of the object`)
    if (!Number.isInteger(version) || version < 0 || version > 0xffff_ffff)
      throw new ReplicatedDefinitionError(`${implementation}: a version is an integer from 0`)
    const same = found.filter((other) => other.name === name && other.version === version)
    if (same.length > 1) throw new ReplicatedDefinitionError(`${name} has version ${version} twice`)
  }
  return found
}

function define(object: object, methods: readonly MethodDefinition[]): void {
  let known = definitions.get(object)
  if (known === undefined) {
    known = new Map()
    definitions.set(object, known)
  }
  for (const method of methods) known.set(method.implementation, method)
}
