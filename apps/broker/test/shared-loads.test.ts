import { expect, test } from '@jest/globals'
import { SharedLoads } from '../src/shared-loads.js'

test('what is asked for in one turn is one question, and what is not found is undefined', async () => {
  const questions: (readonly number[])[] = []
  const loads = new SharedLoads(async (ids) => {
    questions.push(ids)
    await Promise.resolve()
    return new Map([[1, 'one']])
  })
  expect(await Promise.all([loads.load(1), loads.load(2), loads.load(1)])).toEqual(['one', undefined, 'one'])
  expect(await loads.load(1)).toBe('one')
  expect(questions).toEqual([[1, 2], [1]])
})

test('a question that fails fails for everybody who asked, and the next one is asked anew', async () => {
  let failures = 1
  const loads = new SharedLoads(() =>
    failures-- > 0 ? Promise.reject(new Error('down')) : Promise.resolve(new Map([[2, 'two']])),
  )
  const both = await Promise.allSettled([loads.load(1), loads.load(2)])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await loads.load(2)).toBe('two')
})
