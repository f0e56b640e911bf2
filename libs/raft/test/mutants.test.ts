import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { MUTANTS } from '../mutants/catalogue.js'
import { mutate } from '../mutants/mutant.js'

describe('the known bugs', () => {
  test('are at least forty, with names of their own', () => {
    expect(MUTANTS.length).toBeGreaterThanOrEqual(40)
    expect(new Set(MUTANTS.map(({ id }) => id)).size).toBe(MUTANTS.length)
  })

  test.each(MUTANTS.map((mutant) => [mutant.id, mutant] as const))(
    '%s has its place in the built code',
    (_id, mutant) => {
      const built = readFileSync(new URL(`../dist/${mutant.file}`, import.meta.url), 'utf8')
      expect(mutate(built, mutant)).not.toBe(built)
    },
  )

  test('one whose text is gone is refused', () => {
    expect(() => mutate('a b a', { id: 'x', find: 'c', replace: '' })).toThrow(/occurs 0 times/)
    expect(() => mutate('a b a', { id: 'x', find: 'a', replace: '' })).toThrow(/occurs 2 times/)
    expect(mutate('a b a', { id: 'x', find: 'a', replace: 'z', nth: 2 })).toBe('a b z')
  })
})
