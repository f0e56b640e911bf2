// A counter and a lock on three nodes. In three terminals:
//   node libs/raft/examples/dist/counter-and-lock.js 127.0.0.1:4001 127.0.0.1:4002 127.0.0.1:4003
//   node libs/raft/examples/dist/counter-and-lock.js 127.0.0.1:4002 127.0.0.1:4001 127.0.0.1:4003
//   node libs/raft/examples/dist/counter-and-lock.js 127.0.0.1:4003 127.0.0.1:4001 127.0.0.1:4002
import {
  LockManager,
  ReplicatedCounter,
  ReplicatedLockTable,
  ReplicatedMachine,
  SyncObject,
} from '@sluice/raft'

const [self = '', ...others] = process.argv.slice(2)
const machine = new ReplicatedMachine()
const visits = machine.add('visits', new ReplicatedCounter())
const locks = new LockManager(machine.add('locks', new ReplicatedLockTable(5000)), { owner: self })

const sync = await SyncObject.open({ self, others, machine })
await sync.waitReady()
for (let i = 0; i < 10; i++) {
  const { acquired, fencingToken } = await locks.tryAcquire('turn')
  if (acquired) console.log(`${self} has turn ${fencingToken}: visit ${await visits.increment()}`)
  if (acquired) await locks.release('turn')
  await new Promise((resolve) => setTimeout(resolve, 500))
}
console.log(`visits by all nodes: ${await visits.get()}`)
await sync.destroy()
