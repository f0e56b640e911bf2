import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FaultKind } from './fault.js'

interface Change {
  /** From the root of the repository. */
  readonly file: string
  /** Must occur in the built file exactly once. */
  readonly find: string
  readonly replace: string
}

/**
 * A known kind of bug as a change of a built file of the broker, made when it is loaded. The source itself
 * knows nothing of it: a switch in code that must be right would be one more thing that can be wrong.
 */
export interface Mutant {
  readonly id: string
  /** What goes wrong. */
  readonly bug: string
  readonly changes: readonly Change[]
  /** Faults that bring it out. */
  readonly faults: readonly FaultKind[]
  /** The checks of which one is to catch it. */
  readonly caughtBy: readonly string[]
}

/** The same from the sources and from what is built of them. */
const ROOT = new URL('../../../', import.meta.url)

/** @throws Error when a text is not there exactly once: the code has moved on, and so must the mutant */
export function mutate(source: string, id: string, { find, replace }: Omit<Change, 'file'>): string {
  const count = source.split(find).length - 1
  if (count !== 1) throw new Error(`mutant ${id}: its text occurs ${count} times: ${find}`)
  // A function, so that a $ in the text is only a $.
  return source.replace(find, () => replace)
}

/** The changed texts by their files' URLs, for the loader. @throws as `mutate` */
export function mutatedSources({ id, changes }: Mutant): ReadonlyMap<string, string> {
  const sources = new Map<string, string>()
  for (const change of changes) {
    const url = new URL(change.file, ROOT)
    const source = sources.get(url.href) ?? readFileSync(fileURLToPath(url), 'utf8')
    sources.set(url.href, mutate(source, id, change))
  }
  return sources
}
