import { beforeEach, describe, expect, test } from '@jest/globals'
import { pino } from 'pino'
import { LogRecovery } from '../src/log-recovery.js'

let noted: number
let recovery: LogRecovery

const groups = (...recovering: readonly boolean[]): readonly { readonly isRecovering: boolean }[] =>
  recovering.map((isRecovering) => ({ isRecovering }))
const lost = (what: string | undefined): LogRecovery =>
  new LogRecovery({
    lost: what,
    recovered: () => {
      noted++
      return Promise.resolve()
    },
    logger: pino({ level: 'silent' }),
  })

beforeEach(() => {
  noted = 0
  recovery = lost('a segment')
})

describe('a log that has lost something', () => {
  test('concerns every group until it is known which were made since', () => {
    expect([1, 7, 8].map((id) => recovery.concerns(id))).toEqual([true, true, true])
    recovery.tellNew(8)
    expect([1, 7, 8, 9].map((id) => recovery.concerns(id))).toEqual([true, true, false, false])
    recovery.tellNew(20)
    expect(recovery.concerns(8)).toBe(false)
  })

  test('is not whole before that is known, even when no group waits', async () => {
    await recovery.look(groups(false))
    expect([recovery.isRunning, noted]).toEqual([true, 0])
    recovery.tellNew(8)
    await recovery.look(groups(false, true))
    expect([recovery.isRunning, noted]).toEqual([true, 0])
    expect(recovery.status).toEqual({ lost: 'a segment', groups: 1 })
    await recovery.look(groups(false, false))
    expect([recovery.isRunning, noted, recovery.status]).toEqual([false, 1, undefined])
    expect(recovery.concerns(1)).toBe(false)
  })

  test('concerns nothing when it is whole', async () => {
    const whole = lost(undefined)
    expect([whole.isRunning, whole.concerns(1), whole.status]).toEqual([false, false, undefined])
    await whole.look(groups(true))
    expect(noted).toBe(0)
  })
})
