import { deferred, SeededRandom } from '@sluice/foundation'
import { describe, expect, test } from '@jest/globals'
import { WalDiskFullError, WalFailedError } from '../src/wal/errors.js'
import type { Wal } from '../src/wal/wal.js'
import { checkSurvivors, type Run, stateOf } from './wal-crash-run.js'
import {
  append,
  describeWal,
  entries,
  groupId,
  hardState,
  snapshot,
  uuidOf,
  WalBench,
} from './wal-fixture.js'
import { type DiskFault, type DiskStep, SimulatedDisk } from './wal-simulated-disk.js'

const bench = new WalBench()
const STEPS = 36

/** One operation after the other on three groups: appends of all kinds, compactions, removals. */
async function work(wal: Wal, disk: SimulatedDisk, run: Run): Promise<void> {
  const random = new SeededRandom(7)
  const note = async (): Promise<number> => {
    const known = (await describeWal(wal)) as { name: string }[]
    run.states.push(JSON.stringify(known.filter(({ name }) => defined.has(name))))
    return run.states.length - 1
  }
  const defined = new Set<string>()
  for (let step = 1; step <= STEPS; step++) {
    const id = groupId(1 + random.below(3))
    const log = wal.group(id) ?? wal.createGroup(id, uuidOf(step), `group ${id} of step ${step}`)
    const from = log.lastIndex + 1
    const span = { group: id, entries: entries(from, from + random.below(3), step, 20 + random.below(250)) }
    const choice = random.below(12)
    let waiting: Promise<undefined> | undefined
    if (choice < 2 && log.lastIndex > log.compactedIndex && log.isDefined) {
      wal.compact(id, log.lastIndex - choice)
    } else if (choice === 2 && log.isDefined) {
      wal.removeGroup(id)
      defined.delete(log.name)
    } else if (choice === 3 && log.isDefined) {
      const installed = snapshot(log.lastIndex + random.below(3), step)
      const behind = entries(installed.index + 1, installed.index + random.below(3), step, 60)
      const state = run.states.length
      wal.append([{ group: id, snapshot: installed, entries: behind }], () => {
        run.acknowledged = state
        run.order.push(state)
      })
    } else {
      const cut = log.lastIndex > log.compactedIndex + 1 && choice < 5 ? log.lastIndex - 1 : undefined
      const write =
        cut === undefined ? span : { group: id, truncateFrom: cut, entries: entries(cut, cut + 2, step, 40) }
      const state = run.states.length
      const stored = deferred<undefined>()
      waiting = stored.promise
      wal.append([{ ...write, ...(choice > 8 ? { hardState: hardState(step, 1, from) } : {}) }], () => {
        run.acknowledged = state
        run.order.push(state)
        stored.resolve(undefined)
      })
      defined.add(log.name)
    }
    await note()
    // Now and then the next operation does not wait for this one, and joins its batch or the next.
    if (choice % 3 !== 0 && waiting !== undefined) await Promise.race([waiting, disk.died])
  }
  await Promise.race([wal.close(), disk.died])
}

async function runOn(disk: SimulatedDisk, onFatal: (error: Error) => void = () => undefined): Promise<Run> {
  const run: Run = { states: ['[]'], acknowledged: 0, order: [] }
  const opening = bench.openOn(disk, { onFatal })
  const wal = await Promise.race([opening, disk.died])
  if (wal !== undefined) await work(wal, disk, run)
  return run
}

test('the work used here rolls over, removes segments and acknowledges in order', async () => {
  const disk = new SimulatedDisk()
  const run = await runOn(disk)
  expect(run.order).toEqual([...run.order].sort((a, b) => a - b))
  expect(run.order.length).toBeGreaterThan(30)
  const segments = [...disk.names.keys()].filter((name) => name.endsWith('.seg')).sort()
  expect(segments.length).toBeGreaterThan(2)
  expect(segments[0]! > 'wal-0000000000000003').toBe(true)
  expect(disk.openFiles).toBe(0)
  await checkSurvivors(disk.crashed(), run)
})

describe('after a power cut at any step', () => {
  test.each([
    ['nothing that was not synced is left', undefined],
    ['any part of it may be left, seed 1', 1],
    ['any part of it may be left, seed 2', 2],
  ])('everything acknowledged is there: %s', async (_, seed) => {
    const whole = new SimulatedDisk()
    await runOn(whole)
    expect(whole.steps).toBeGreaterThan(100)
    for (let steps = 0; steps < whole.steps; steps++) {
      const disk = new SimulatedDisk()
      disk.crashAfterSteps = steps
      const run = await runOn(disk)
      const random = seed === undefined ? undefined : new SeededRandom(seed * 10_000 + steps)
      await checkSurvivors(disk.crashed(random), run)
    }
  })

  test('also when the power goes again while the log is being opened', async () => {
    const whole = new SimulatedDisk()
    await runOn(whole)
    for (let steps = 3; steps < whole.steps; steps += 5) {
      const disk = new SimulatedDisk()
      disk.crashAfterSteps = steps
      const run = await runOn(disk)
      for (let more = 0; more < 6; more++) {
        const random = new SeededRandom(steps * 10 + more)
        const second = disk.crashed(random)
        second.crashAfterSteps = more
        await Promise.race([bench.openOn(second), second.died])
        await checkSurvivors(second.crashed(random), run)
      }
    }
  })
})

describe('what an opened log shows stays', () => {
  /** Opens what a process left behind, and lets the power go at once. */
  async function checkStays(left: SimulatedDisk, run: Run, seed: number): Promise<void> {
    const state = await stateOf(await bench.openOn(left))
    for (const random of [undefined, new SeededRandom(seed)]) {
      await checkSurvivors(left.crashed(random), run)
      expect(await stateOf(await bench.openOn(left.crashed(random)))).toBe(state)
    }
  }

  test('when the process was killed with writes that were not synced', async () => {
    const whole = new SimulatedDisk()
    await runOn(whole)
    for (let steps = 3; steps < whole.steps; steps++) {
      const disk = new SimulatedDisk()
      disk.crashAfterSteps = steps
      const run = await runOn(disk)
      await checkStays(disk.killed(), run, steps)
    }
  })

  test('when the process ended itself after a sync failed, which the system will not repeat', async () => {
    const disk = new SimulatedDisk()
    const failed = deferred<Error>()
    const wal = await bench.openOn(disk, { onFatal: (error) => failed.resolve(error) })
    wal.createGroup(groupId(1), uuidOf(1), 'one')
    await new Promise<void>((resolve) => {
      wal.append([{ group: groupId(1), entries: entries(1, 2, 1) }], resolve)
    })
    const before = await stateOf(wal)
    disk.fault = (step) => (step === 'sync' ? 'EIO' : undefined)
    wal.append([{ group: groupId(1), entries: entries(3, 8, 1) }], () => undefined)
    const after = await stateOf(wal)
    await failed.promise
    await checkStays(disk.killed(), { states: ['[]', before, after], acknowledged: 1, order: [] }, 1)
  })
})

test('what nobody waits for is on disk before whatever was appended after it', async () => {
  const disk = new SimulatedDisk()
  const wal = await bench.openOn(disk)
  for (const id of [1, 2]) wal.createGroup(groupId(id), uuidOf(id), 'a group')
  await append(wal, { group: groupId(1), entries: entries(1, 3, 1), hardState: hardState(1, 1, 1) })
  const { durableLsn } = wal.stats()
  wal.append([{ group: groupId(1), hardState: hardState(1, 1, 3) }])
  await new Promise((resolve) => setImmediate(resolve))
  expect(wal.stats().durableLsn).toBe(durableLsn)
  await append(wal, { group: groupId(2), entries: entries(1, 1, 1) })
  const crashed = await bench.openOn(disk.crashed())
  expect(crashed.group(groupId(2))?.lastIndex).toBe(1)
  expect(crashed.group(groupId(1))?.hardState).toEqual(hardState(1, 1, 3))
  wal.append([{ group: groupId(1), hardState: hardState(2, 2, 3) }])
  await wal.close()
  const closed = await bench.openOn(disk.crashed())
  expect(closed.group(groupId(1))?.hardState).toEqual(hardState(2, 2, 3))
})

test('segments stay until what makes them superfluous is durable', async () => {
  const disk = new SimulatedDisk()
  const first = await bench.openOn(disk)
  first.createGroup(groupId(1), uuidOf(1), 'one')
  // The last one goes into a segment with room for more.
  for (let i = 1; i <= 5; i++)
    await new Promise<void>((resolve) => {
      first.append([{ group: groupId(1), entries: entries(i, i, 1, i < 5 ? 700 : 20) }], resolve)
    })
  await first.close()
  const whole = disk.crashed()
  const work: ((wal: Wal) => void)[] = [
    (wal) => wal.append([{ group: groupId(1), entries: entries(6, 6, 1, 20) }], () => undefined),
    (wal) => wal.compact(groupId(1), 6),
    (wal) => wal.append([{ group: groupId(1), entries: entries(7, 7, 1, 20) }], () => undefined),
  ]
  const example = await bench.openOn(whole.crashed())
  const states = [await stateOf(example)]
  for (const step of work) {
    step(example)
    states.push(await stateOf(example))
  }
  for (let steps = 0; steps < 40; steps++) {
    const copy = whole.crashed()
    copy.crashAfterSteps = steps
    const wal = await Promise.race([bench.openOn(copy), copy.died])
    if (wal !== undefined) {
      // The compaction is on its way when the first append is done and segments are looked at.
      for (const step of work) step(wal)
      await Promise.race([wal.close(), copy.died])
    }
    for (let seed = 0; seed < 6; seed++)
      await checkSurvivors(copy.crashed(new SeededRandom(seed)), { states, acknowledged: 0, order: [] })
  }
})

test('the loss of the last segment is noticed from the first acknowledgement out of it on', async () => {
  const appendTwo = async (disk: SimulatedDisk, sizeBytes: number): Promise<boolean> => {
    const wal = await Promise.race([bench.openOn(disk), disk.died])
    if (wal === undefined) return false
    const log = wal.group(groupId(1)) ?? wal.createGroup(groupId(1), uuidOf(1), 'one')
    const next = log.lastIndex + 1
    let isLast = false
    wal.append([{ group: groupId(1), entries: entries(next, next, 1, sizeBytes) }], () => undefined)
    wal.append([{ group: groupId(1), entries: entries(next + 1, next + 1, 1, sizeBytes) }], () => {
      isLast = true
    })
    await Promise.race([wal.close(), disk.died])
    return isLast
  }
  for (let steps = 0; steps < 40; steps++) {
    const disk = new SimulatedDisk()
    disk.crashAfterSteps = steps
    await appendTwo(disk, 700)
    const second = disk.killed()
    if (!(await appendTwo(second, 20))) continue
    const lost = second.crashed()
    const segments = [...lost.names.keys()].filter((name) => name.endsWith('.seg')).sort()
    if (segments.length === 1) continue
    lost.names.delete(segments.at(-1)!)
    await expect(bench.openOn(lost)).rejects.toThrow('the last segment is missing')
  }
})

describe('a disk that fails from some step on', () => {
  const faults: [DiskStep, DiskFault, new (...args: never[]) => Error][] = [
    ['write', 'EIO', WalFailedError],
    ['write', 'ENOSPC', WalDiskFullError],
    ['write', 'short', WalFailedError],
    ['sync', 'EIO', WalFailedError],
    ['sync', 'ENOSPC', WalDiskFullError],
    ['create', 'ENOSPC', WalDiskFullError],
    ['rename', 'EIO', WalFailedError],
    ['remove', 'EIO', WalFailedError],
    ['sync-directory', 'EIO', WalFailedError],
  ]

  test.each(faults)(
    '%s %s: told once, nothing acknowledged after it, all acknowledged is there',
    async (step, fault, type) => {
      let failures = 0
      for (let count = 0; ; count++) {
        const disk = new SimulatedDisk()
        let left = count
        disk.fault = (asked) => (asked === step && left-- <= 0 ? fault : undefined)
        const errors: Error[] = []
        let acknowledgedAtFailure: number | undefined
        const run: Run = { states: ['[]'], acknowledged: 0, order: [] }
        const failed = deferred<undefined>()
        const onFatal = (error: Error): void => {
          errors.push(error)
          acknowledgedAtFailure = run.order.length
          failed.resolve(undefined)
        }
        const working = bench.openOn(disk, { onFatal }).then((wal) => work(wal, disk, run))
        const ended = working.then(
          () => undefined,
          (error: unknown) => error,
        )
        const outcome = await Promise.race([ended, failed.promise])
        await new Promise((resolve) => setImmediate(resolve))
        if (outcome !== undefined) expect(outcome).toBeInstanceOf(type)
        if (left >= 0) break // this run was over before the fault
        failures += errors.length
        expect(errors.length).toBeLessThanOrEqual(1)
        for (const error of errors) expect(error).toBeInstanceOf(type)
        if (acknowledgedAtFailure !== undefined) expect(run.order).toHaveLength(acknowledgedAtFailure)
        await checkSurvivors(disk.crashed(), run)
      }
      expect(failures).toBeGreaterThan(step === 'remove' ? 0 : 2)
    },
  )

  test('one failed attempt to prepare the next segment is made good when it is needed', async () => {
    const disk = new SimulatedDisk()
    let creations = 0
    disk.fault = (step, name) =>
      step === 'create' && name !== 'wal-durable' && ++creations === 2 ? 'ENOSPC' : undefined
    const errors: Error[] = []
    const run = await runOn(disk, (error) => errors.push(error))
    expect(errors).toEqual([])
    await checkSurvivors(disk.crashed(), run)
  })

  test('callbacks of a batch stop when one of them ends the log', async () => {
    const failed = deferred<Error>()
    const wal = await bench.openOn(new SimulatedDisk(), { onFatal: (error) => failed.resolve(error) })
    wal.createGroup(groupId(1), uuidOf(1), 'one')
    const calls: string[] = []
    wal.append([], () => undefined) // the next two wait for it, and share a batch
    wal.append([{ group: groupId(1), entries: entries(1, 1, 1) }], () => {
      expect(() => {
        wal.append([{ group: groupId(1), entries: entries(7, 7, 1) }], () => calls.push('never'))
      }).toThrow('does not follow')
      calls.push('first')
    })
    wal.append([{ group: groupId(1), entries: entries(2, 2, 1) }], () => calls.push('second'))
    await failed.promise
    await wal.close()
    expect(calls).toEqual(['first'])
  })

  test('appends and compactions are refused with the error', async () => {
    const disk = new SimulatedDisk()
    let isBroken = false
    disk.fault = (step) => (step === 'sync' && isBroken ? 'EIO' : undefined)
    const fatal = deferred<Error>()
    const wal = await bench.openOn(disk, { onFatal: (error) => fatal.resolve(error) })
    wal.createGroup(groupId(1), uuidOf(1), 'one')
    isBroken = true
    let isAcknowledged = false
    wal.append([{ group: groupId(1), entries: entries(1, 3, 1) }], () => {
      isAcknowledged = true
    })
    const error = await fatal.promise
    expect(error).toBeInstanceOf(WalFailedError)
    expect(() => wal.append([], () => undefined)).toThrow(error)
    expect(() => {
      wal.compact(groupId(1), 2)
    }).toThrow(error)
    await wal.close()
    expect(isAcknowledged).toBe(false)
  })
})
