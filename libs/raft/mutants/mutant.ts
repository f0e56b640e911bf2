import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** What must find the bug. */
type Catcher =
  | { readonly kind: 'simulation'; readonly arguments?: readonly string[] }
  /** Tests of one file, by a part of their names. */
  | { readonly kind: 'test'; readonly file: string; readonly name: string }

/**
 * A known bug as a change of one piece of the built code. The source itself knows nothing of it: a
 * switch in the code that must be right would be one more thing that can be wrong.
 */
export interface Mutant {
  readonly id: string
  /** What goes wrong, and where it did. */
  readonly bug: string
  /** Below `dist`. */
  readonly file: string
  /** Must occur in the built file, once unless `nth` says which. */
  readonly find: string
  readonly replace: string
  /** Which occurrence, from 1. */
  readonly nth?: number
  readonly caughtBy: Catcher
}

/** The built files of the library. */
export const DIST = fileURLToPath(new URL('../../dist/', import.meta.url))

/** @throws when the text is not there as often as the mutant says: the code has moved on, and so must it */
export function mutate(source: string, mutant: Pick<Mutant, 'id' | 'find' | 'replace' | 'nth'>): string {
  const places: number[] = []
  for (let at = source.indexOf(mutant.find); at >= 0; at = source.indexOf(mutant.find, at + 1))
    places.push(at)
  const at = mutant.nth === undefined && places.length === 1 ? places[0] : places[(mutant.nth ?? 0) - 1]
  if (at === undefined)
    throw new Error(`mutant ${mutant.id}: its text occurs ${places.length} times: ${mutant.find}`)
  return source.slice(0, at) + mutant.replace + source.slice(at + mutant.find.length)
}

/** @throws as `mutate` */
export function mutatedFile(mutant: Mutant): string {
  return mutate(readFileSync(DIST + mutant.file, 'utf8'), mutant)
}
