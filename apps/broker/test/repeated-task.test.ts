import { expect, test } from '@jest/globals'
import { deferred } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { RepeatedTask } from '../src/repeated-task.js'

test('a task comes again, one round at a time, and not any more once it is stopped', async () => {
  let rounds = 0
  let underWay = 0
  let most = 0
  const task = new RepeatedTask(1, async () => {
    most = Math.max(most, ++underWay)
    await new Promise((resolve) => setImmediate(resolve))
    rounds++
    underWay--
  })
  task.start()
  task.start()
  await eventually(() => expect(rounds).toBeGreaterThan(3))
  await task.stop()
  const stopped = rounds
  await task.stop()
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect({ rounds, underWay, most }).toEqual({ rounds: stopped, underWay: 0, most: 1 })
})

test('a task that starts now does not wait for its first round', async () => {
  let rounds = 0
  const task = new RepeatedTask(60_000, () => {
    rounds++
    return Promise.resolve()
  })
  task.startNow()
  task.startNow()
  expect(rounds).toBe(1)
  await task.stop()
  expect(rounds).toBe(1)
})

test('stopping waits for the round under way, which is told', async () => {
  const begun = deferred<AbortSignal>()
  const ended = deferred<undefined>()
  const task = new RepeatedTask(0, async (signal) => {
    begun.resolve(signal)
    await ended.promise
  })
  task.start()
  const signal = await begun.promise
  let isStopped = false
  const stopped = task.stop().then(() => (isStopped = true))
  await new Promise((resolve) => setImmediate(resolve))
  expect({ isStopped, aborted: signal.aborted }).toEqual({ isStopped: false, aborted: true })
  ended.resolve(undefined)
  await stopped
})

test('one that never began is stopped at once', async () => {
  let rounds = 0
  const task = new RepeatedTask(0, () => {
    rounds++
    return Promise.resolve()
  })
  await task.stop()
  task.start()
  await new Promise((resolve) => setTimeout(resolve, 10))
  expect(rounds).toBe(0)
})
