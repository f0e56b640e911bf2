import { MUTANTS } from './catalogue.js'
import { DIST, mutate } from './mutant.js'

const mutant = MUTANTS.find(({ id }) => id === process.env['RAFT_MUTANT'])

/** A jest transformer of built files: the one that the mutant changes is changed, the others stay as they are. */
const transformer = {
  process: (source: string, path: string): { readonly code: string } => ({
    code: mutant !== undefined && path === DIST + mutant.file ? mutate(source, mutant) : source,
  }),
  getCacheKey: (source: string, path: string): string => `${mutant?.id ?? ''}:${path}:${source.length}`,
}

export default transformer
