import { register } from 'node:module'
import { pathToFileURL } from 'node:url'
import { MUTANTS } from './catalogue.js'
import { DIST, mutatedFile } from './mutant.js'

/** Loaded before a program with `--import`: it then runs with the mutant that RAFT_MUTANT names. */
const id = process.env['RAFT_MUTANT'] ?? ''
const mutant = MUTANTS.find((candidate) => candidate.id === id)
if (mutant === undefined) throw new Error(`RAFT_MUTANT names no mutant: ${id}`)
register('./loader-hooks.js', {
  parentURL: import.meta.url,
  data: { url: pathToFileURL(DIST + mutant.file).href, source: mutatedFile(mutant) },
})
