import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { applyContext } from '../src/objects/apply-context.js'
import { decodeCommand, encodeCommand, type ReplicatedCommand } from '../src/objects/command.js'
import { defineReplicated, replicated } from '../src/objects/definition.js'
import {
  CodeVersionError,
  ReplicatedDecodeError,
  ReplicatedDefinitionError,
  ReplicatedMethodError,
  SessionExpiredError,
  UnsupportedValueError,
} from '../src/objects/errors.js'
import type { Replicated } from '../src/objects/handle.js'
import { ReplicatedMachine } from '../src/objects/replicated-machine.js'
import { decodeValue, encodeValue } from '../src/objects/value-codec.js'
import { applyAt, contentOf, follower, LocalGroup, pieces } from './objects-harness.js'

class Account {
  balance = 0
  history: number[] = []
  lastMs = 0

  @replicated deposit(amount: number): number {
    if (amount <= 0) throw new RangeError('nothing to deposit')
    this.balance += amount
    this.history.push(amount)
    this.lastMs = applyContext().timeMs
    return this.balance
  }

  @replicated({ version: 1, of: 'deposit' }) depositWithBonus(amount: number): number {
    return this.deposit(amount + 1)
  }

  @replicated({ version: 2 }) draw(): number {
    return applyContext().random.below(1_000_000)
  }

  total(): number {
    return this.balance
  }
}

function made(): { group: LocalGroup; account: Replicated<Account> } {
  const machine = new ReplicatedMachine()
  const account = machine.add('account', new Account())
  return { group: new LocalGroup(machine).open(), account }
}

describe('a handle', () => {
  test('carries replicated methods out through the log, and gives their result', async () => {
    const { group: local, account } = made()
    expect(await account.deposit(5)).toBe(5)
    expect(await account.deposit(2)).toBe(7)
    expect(local.log).toHaveLength(2)
    expect(account.local.balance).toBe(7)
  })

  test('carries every other method out on this node, after a barrier', async () => {
    const { group: local, account } = made()
    await account.deposit(5)
    expect(await account.total()).toBe(5)
    expect([local.barriers, local.log.length]).toEqual([1, 1])
  })

  test('can be awaited without being called', async () => {
    const { account } = made()
    expect(await Promise.resolve(account)).toBe(account)
  })

  test('ends a wait by signal or time', async () => {
    const { account } = made()
    const reason = new Error('enough')
    await expect(account.with({ signal: AbortSignal.abort(reason) }).deposit(1)).rejects.toBe(reason)
  })
})

describe('a method that throws', () => {
  test('has its error as its result, on every node, and the replica goes on', async () => {
    const { group: local, account } = made()
    await expect(account.deposit(-1)).rejects.toThrow(ReplicatedMethodError)
    await expect(account.deposit(-1)).rejects.toMatchObject({
      thrownName: 'RangeError',
      message: 'nothing to deposit',
      retriable: false,
    })
    expect(await account.deposit(3)).toBe(3)
    const other = new ReplicatedMachine()
    other.add('account', new Account())
    follower(other)
    expect(applyAt(other, local.log, 1)).toEqual({
      kind: 'thrown',
      name: 'RangeError',
      message: 'nothing to deposit',
    })
  })
})

describe('replicas', () => {
  test('that are fed the same calls have the same state, time and chance included', async () => {
    const { group: local, account } = made()
    await local.machine.setCodeVersion(2)
    for (let i = 1; i < 20; i++) {
      local.timeMs += i * 10
      await account.deposit(i)
      await account.draw()
    }
    const other = new ReplicatedMachine()
    other.add('account', new Account())
    follower(other)
    for (let i = 1; i <= local.log.length; i++) applyAt(other, local.log, i)
    expect(await contentOf(other)).toEqual(await contentOf(local.machine))
  })

  test('outside of a method there is no context', () => {
    expect(() => applyContext()).toThrow(/is being carried out/)
  })
})

describe('code versions', () => {
  test('a name stands for the newest version that the group runs', async () => {
    const { group: local, account } = made()
    const changes: number[][] = []
    local.machine.onCodeVersionChanged = (version, before) => changes.push([version, before])
    expect(local.machine.selfCodeVersion).toBe(2)
    expect(await account.deposit(10)).toBe(10)
    await expect(account.draw()).rejects.toThrow(CodeVersionError)
    await local.machine.setCodeVersion(1)
    expect(await account.deposit(10)).toBe(21)
    expect(changes).toEqual([[1, 0]])
  })

  test('never goes back, and never to one that this node does not have', async () => {
    const { group: local } = made()
    await local.machine.setCodeVersion(2)
    await expect(local.machine.setCodeVersion(1)).rejects.toThrow(ReplicatedMethodError)
    await expect(local.machine.setCodeVersion(3)).rejects.toThrow(CodeVersionError)
    await expect(local.machine.setCodeVersion(0.5)).rejects.toThrow(CodeVersionError)
  })

  test('a node without the code that the group runs stops', () => {
    const old = new ReplicatedMachine()
    old.add('account', defineReplicated({ balance: 0, deposit: (n: number) => n }, { deposit: {} }))
    follower(old)
    const at = { index: 1, term: 1, timeMs: 0 }
    expect(() => old.apply(encodeCommand({ kind: 'version', version: 1 }), at)).toThrow(CodeVersionError)
  })

  test('a call of nothing, and bytes that are no command, have that as their result', () => {
    const machine = new ReplicatedMachine()
    machine.add('account', new Account())
    follower(machine)
    const at = { index: 1, term: 1, timeMs: 0 }
    expect(machine.apply(encodeCommand({ kind: 'call', method: 9, args: [] }), at)).toMatchObject({
      kind: 'thrown',
    })
    expect(machine.apply(Uint8Array.from([9, 9]), at)).toMatchObject({ kind: 'thrown' })
  })

  test('methods of later versions leave the numbers of earlier ones as they are', async () => {
    const numbers = async (object: object): Promise<Uint8Array> => {
      const machine = new ReplicatedMachine()
      const handle = machine.add('o', object) as unknown as { b(): Promise<unknown> }
      const local = new LocalGroup(machine).open()
      await handle.b()
      return local.log[0]!.payload
    }
    const methods = { x: 0, a: () => 1, b: () => 2, aa: () => 3 }
    const first = await numbers(defineReplicated({ ...methods }, { a: {}, b: {} }))
    const later = await numbers(defineReplicated({ ...methods }, { a: {}, b: {}, aa: { version: 1 } }))
    expect(later).toEqual(first)
  })
})

describe('sessions', () => {
  test('a call whose answer was lost is sent again, and carried out once', async () => {
    const { group: local, account } = made()
    const session = await local.machine.openSession()
    local.losesNextAnswer = true
    expect(await account.with({ session }).deposit(5)).toBe(5)
    expect(local.log).toHaveLength(3)
    expect(account.local.history).toEqual([5])
  })

  test('without a session the same call is an error whose outcome is unknown', async () => {
    const { group: local, account } = made()
    local.losesNextAnswer = true
    await expect(account.deposit(5)).rejects.toMatchObject({ outcome: 'unknown' })
  })

  test('one that the group has forgotten says so, and nothing is carried out', async () => {
    const machine = new ReplicatedMachine({ sessions: { sessionsMax: 2 } })
    const account = machine.add('account', new Account())
    const local = new LocalGroup(machine).open()
    const sessions = [await machine.openSession(), await machine.openSession(), await machine.openSession()]
    await expect(account.with({ session: sessions[0]! }).deposit(1)).rejects.toThrow(SessionExpiredError)
    expect(await account.with({ session: sessions[1]! }).deposit(1)).toBe(1)
    local.timeMs += 3_600_000
    await expect(account.with({ session: sessions[1]! }).deposit(1)).rejects.toMatchObject({
      outcome: 'unknown',
    })
    expect(account.local.history).toEqual([1])
  })

  test('answers are kept within bounds; a repeated call of a forgotten answer is not carried out again', () => {
    const machine = new ReplicatedMachine({ sessions: { answersMax: 2 } })
    machine.add('account', new Account())
    follower(machine)
    const at = (index: number): { index: number; term: number; timeMs: number } => ({
      index,
      term: 1,
      timeMs: 0,
    })
    machine.apply(encodeCommand({ kind: 'open-session' }), at(1))
    const call = (sequence: number): Uint8Array =>
      encodeCommand({ kind: 'session-call', session: 1, sequence, unansweredFrom: 1, method: 0, args: [1] })
    for (let sequence = 1; sequence <= 4; sequence++) machine.apply(call(sequence), at(1 + sequence))
    expect(machine.apply(call(4), at(6))).toEqual({ kind: 'value', value: 4 })
    expect(machine.apply(call(1), at(7))).toEqual({ kind: 'session-expired' })
    expect(machine.apply(call(5), at(8))).toEqual({ kind: 'value', value: 5 })
  })

  test('are part of the snapshot', async () => {
    const { group: local, account } = made()
    const session = await local.machine.openSession()
    await account.with({ session }).deposit(5)
    const repeated = local.log.at(-1)!.payload
    const other = new ReplicatedMachine()
    const copy = other.add('account', new Account())
    follower(other)
    await other.restore(pieces(await contentOf(local.machine)))
    expect(other.apply(repeated, { index: 9, term: 1, timeMs: local.timeMs })).toEqual({
      kind: 'value',
      value: 5,
    })
    expect(copy.local.history).toEqual([5])
  })
})

describe('snapshots', () => {
  test('are of the moment when they were captured', async () => {
    const { group: local, account } = made()
    await account.deposit(5)
    const capture = local.machine.capture()
    await account.deposit(6)
    const parts: Uint8Array[] = []
    for await (const chunk of capture.chunks()) parts.push(chunk)
    const other = new ReplicatedMachine()
    const copy = other.add('account', new Account())
    follower(other)
    await other.restore(pieces(Buffer.concat(parts), 7))
    expect(copy.local).toMatchObject({ balance: 5, history: [5] })
  })

  test('that are cut off or damaged change nothing', async () => {
    const { group: local, account } = made()
    await account.deposit(5)
    const content = await contentOf(local.machine)
    const other = new ReplicatedMachine()
    const copy = other.add('account', new Account())
    follower(other)
    for (let length = 0; length < content.length; length++)
      await expect(other.restore(pieces(content.subarray(0, length)))).rejects.toThrow(ReplicatedDecodeError)
    await expect(other.restore(pieces(Buffer.concat([content, content])))).rejects.toThrow(
      ReplicatedDecodeError,
    )
    expect(copy.local.balance).toBe(0)
  })

  test('are taken whole or not at all, also when an object refuses its part', async () => {
    class Picky {
      value = 0
      @replicated set(value: number): void {
        this.value = value
      }
      capture(): unknown[] {
        return [this.value]
      }
      restore([value]: readonly unknown[]): void {
        if (value === 13) throw new ReplicatedDecodeError('not 13')
        this.value = value as number
      }
    }
    const make = (): {
      machine: ReplicatedMachine
      account: Replicated<Account>
      picky: Replicated<Picky>
    } => {
      const machine = new ReplicatedMachine()
      return {
        machine,
        account: machine.add('account', new Account()),
        picky: machine.add('picky', new Picky()),
      }
    }
    const from = make()
    new LocalGroup(from.machine).open()
    await from.account.deposit(5)
    await from.picky.set(13)
    const to = make()
    follower(to.machine)
    await expect(to.machine.restore(pieces(await contentOf(from.machine)))).rejects.toThrow('not 13')
    expect([to.account.local.balance, to.picky.local.value]).toEqual([0, 0])
  })

  test('with objects that this node does not have are refused', async () => {
    const { group: local } = made()
    const other = new ReplicatedMachine()
    other.add('another', new Account())
    follower(other)
    await expect(other.restore(pieces(await contentOf(local.machine)))).rejects.toThrow(/an object account/)
  })
})

describe('what cannot be replicated', () => {
  test('is refused when it is added', () => {
    const machine = new ReplicatedMachine()
    machine.add('account', new Account())
    expect(() => machine.add('account', new Account())).toThrow(ReplicatedDefinitionError)
    expect(() => machine.add('empty', { field: 1 })).toThrow(/no replicated method/)
    expect(() => machine.add('hidden', defineReplicated({ run: () => 1 }, { run: {} }))).toThrow(
      /no fields to capture/,
    )
    const twice = { x: 0, a: () => 1, b: () => 2 }
    expect(() => machine.add('twice', defineReplicated(twice, { a: {}, b: { of: 'a' } }))).toThrow(
      /has version 0 twice/,
    )
    follower(machine)
    expect(() => machine.add('late', new Account())).toThrow(/before the node is opened/)
  })
})

describe('bytes', () => {
  test('values come out as they went in', () => {
    const values = [
      null,
      undefined,
      true,
      1,
      -1.5,
      2n ** 60n,
      'ø',
      Uint8Array.from([1, 2]),
      [1, [2]],
      { a: { b: 1 } },
    ]
    for (const value of values) expect(decodeValue(encodeValue(value))).toEqual(value)
    expect(decodeValue(encodeValue(new Map([['a', new Set([1])]])))).toEqual(new Map([['a', new Set([1])]]))
    expect(decodeValue(encodeValue(new Date(5)))).toEqual(new Date(5))
    expect(decodeValue(encodeValue(2n ** 70n))).toBe(2n ** 70n)
    expect(decodeValue(encodeValue(-0))).toBe(-0)
  })

  test('what would not come out as it went in is refused before it is sent', () => {
    const loop: unknown[] = []
    loop.push(loop)
    for (const value of [() => 1, Symbol('s'), new Account(), new Date(Number.NaN), '\ud800', loop])
      expect(() => encodeValue(value)).toThrow(UnsupportedValueError)
  })

  test('lengths are not believed: nothing is allocated for what is not there', () => {
    for (const head of [
      [0xdd, 255, 255, 255, 255],
      [0xdf, 255, 255, 255, 255],
      [0xc6, 255, 255, 255, 255],
    ])
      expect(() => decodeValue(Uint8Array.from(head))).toThrow(ReplicatedDecodeError)
  })

  test('commands come out as they went in', () => {
    const commands: ReplicatedCommand[] = [
      { kind: 'call', method: 7, args: [1, 'a'] },
      { kind: 'version', version: 3 },
      { kind: 'open-session' },
      { kind: 'session-call', session: 5, sequence: 6, unansweredFrom: 4, method: 1, args: [] },
    ]
    for (const command of commands) expect(decodeCommand(encodeCommand(command))).toEqual(command)
  })

  test('random ones give decode errors, or values, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        for (const decode of [decodeValue, decodeCommand])
          try {
            decode(bytes)
          } catch (error) {
            expect(error).toBeInstanceOf(ReplicatedDecodeError)
          }
      }),
      { numRuns: 2000 },
    )
  })
})
