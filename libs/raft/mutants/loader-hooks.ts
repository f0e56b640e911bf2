import type { LoadHook } from 'node:module'

interface Replacement {
  readonly url: string
  readonly source: string
}

let replacement: Replacement | undefined

export function initialize(data: Replacement): void {
  replacement = data
}

/** Gives the mutated text in place of the file's. */
export const load: LoadHook = (url, context, nextLoad) => {
  if (url !== replacement?.url) return nextLoad(url, context)
  return { format: 'module', source: replacement.source, shortCircuit: true }
}
