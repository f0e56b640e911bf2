import type { LoadHook } from 'node:module'

/** Text in place of a file's, by the file's URL. */
let sources: ReadonlyMap<string, string> = new Map()

export function initialize(given: ReadonlyMap<string, string>): void {
  sources = given
}

export const load: LoadHook = (url, context, nextLoad) => {
  const source = sources.get(url)
  if (source === undefined) return nextLoad(url, context)
  return { format: 'module', source, shortCircuit: true }
}
