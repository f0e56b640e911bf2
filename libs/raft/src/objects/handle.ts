import type { SessionClient } from './session-client.js'

export interface CallOptions {
  /** Ends the wait; whether the call is carried out all the same is unknown then. */
  readonly signal?: AbortSignal
  /** The same after a time. Milliseconds. */
  readonly timeoutMs?: number
  /** Has the call carried out once, however often it is repeated. */
  readonly session?: SessionClient
}

/** A method as its callers see it: on all nodes, so later. */
type Asynchronous<F> = F extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never

type MethodNames<T> = { [K in keyof T]: T[K] extends (...args: never[]) => unknown ? K : never }[keyof T]

/**
 * A replicated object as its users see it. Methods that are marked as replicated are carried out on all
 * nodes; all others are reads, carried out on this node once it has everything that was done before the
 * call (linearizable). `local` is the object itself, to read what this node has at once.
 */
export type Replicated<T> = {
  readonly [K in Exclude<MethodNames<T>, 'capture' | 'restore'>]: Asynchronous<T[K]>
} & {
  readonly local: T
  /** The same object; its calls take these options. */
  with(options: CallOptions): Replicated<T>
}

/** Who carries calls out. */
export interface Caller {
  call(object: string, method: string, args: readonly unknown[], options: CallOptions): Promise<unknown>
}

/** A handle is no promise, though `await` asks every object for `then`; the others are the machine's alone. */
const NO_CALLS: ReadonlySet<string> = new Set(['then', 'capture', 'restore'])

export function handleOf<T extends object>(
  caller: Caller,
  object: string,
  target: T,
  options: CallOptions = {},
): Replicated<T> {
  const methods = new Map<string, unknown>()
  const proxy = new Proxy(Object.create(null) as object, {
    get: (_nothing, key) => {
      if (key === 'local') return target
      if (key === 'with')
        return (more: CallOptions) => handleOf(caller, object, target, { ...options, ...more })
      if (typeof key !== 'string' || NO_CALLS.has(key)) return undefined
      const known = methods.get(key)
      if (known !== undefined) return known
      if (typeof (target as Record<string, unknown>)[key] !== 'function') return undefined
      const method = (...args: readonly unknown[]): Promise<unknown> =>
        caller.call(object, key, args, options)
      methods.set(key, method)
      return method
    },
    has: (_nothing, key) => key === 'local' || key === 'with' || key in target,
  })
  return proxy as Replicated<T>
}
