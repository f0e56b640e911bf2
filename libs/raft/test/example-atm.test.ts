import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SeededRandom } from '@sluice/foundation'
import { afterEach, expect, test } from '@jest/globals'
import { AtmNetwork } from '../examples/atm.js'
import { type Replicated, ReplicatedMachine, SyncObject } from '../src/index.js'
import { FAST, freePorts } from './node-tcp-cluster.js'

interface Machine {
  readonly sync: SyncObject
  readonly replica: ReplicatedMachine
  readonly atm: Replicated<AtmNetwork>
}

let root: string | undefined
let machines = new Map<number, Machine>()
let addresses: readonly string[] = []

afterEach(async () => {
  await Promise.all([...machines.values()].map(({ sync }) => sync.destroy({ handOver: false })))
  machines = new Map()
  if (root !== undefined) await rm(root, { recursive: true, force: true })
})

async function open(index: number): Promise<Machine> {
  const replica = new ReplicatedMachine()
  const atm = replica.add('atm', new AtmNetwork())
  const sync = await SyncObject.open({
    self: addresses[index]!,
    others: addresses.filter((_, i) => i !== index),
    machine: replica,
    config: { ...FAST, dataDirectory: join(root!, `${index}`), logCompactionMinEntries: 100 },
    onFatal: (error) => {
      throw error
    },
  })
  const machine = { sync, replica, atm }
  machines.set(index, machine)
  return machine
}

const ACCOUNTS = ['ann', 'bob', 'cleo', 'dan']

/** Calls until told to stop; gives the money that went in less what came out, by the answers. */
async function customer(seed: number, isOver: () => boolean): Promise<number> {
  const random = new SeededRandom(seed)
  const pick = (): string => ACCOUNTS[random.below(ACCOUNTS.length)]!
  let net = 0
  const { atm, replica } = machines.get(0)!
  // What nobody can tell whether it was carried out is asked for again, and carried out once.
  const session = await replica.openSession({ retriesMax: 200, pauseMs: 50 })
  const calls = atm.with({ session })
  while (!isOver()) {
    const amount = 1 + random.below(50)
    try {
      switch (random.below(3)) {
        case 0:
          await calls.deposit(pick(), amount)
          net += amount
          break
        case 1:
          await calls.withdraw(pick(), amount)
          net -= amount
          break
        default:
          await calls.transfer(pick(), pick(), amount)
      }
    } catch (error) {
      // The network refused, on all nodes alike; anything else is a fault.
      expect(error).toMatchObject({ thrownName: 'AtmError' })
    }
  }
  return net
}

test('no cent is lost or made while nodes of the ATM network stop and come back', async () => {
  root = await mkdtemp(join(tmpdir(), 'raft-atm-'))
  addresses = (await freePorts(3)).map((port) => `127.0.0.1:${port}`)
  await Promise.all([0, 1, 2].map(open))
  await Promise.all([...machines.values()].map(({ sync }) => sync.waitReady()))
  let isOver = false
  const customers = [1, 2, 3].map((seed) => customer(seed, () => isOver))
  for (const index of [1, 2, 1]) {
    const machine = machines.get(index)!
    machines.delete(index)
    await machine.sync.destroy({ handOver: false })
    const again = await open(index)
    await again.sync.waitReady()
  }
  isOver = true
  const net = (await Promise.all(customers)).reduce((sum, part) => sum + part, 0)
  for (const { atm } of machines.values()) {
    expect(await atm.brokenLaws()).toEqual([])
    let total = 0
    for (const account of ACCOUNTS) total += await atm.balance(account)
    expect(total).toBe(net)
  }
}, 60_000)
