import { afterEach, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Entry, HardState } from '../src/core/types.js'
import type { Wal } from '../src/wal/wal.js'
import { describeWal, entry, groupId, hardState, snapshot, uuidOf, WalBench } from './wal-fixture.js'

const bench = new WalBench()
afterEach(() => bench.end())

/** Small enough that entries leave memory, and that slow groups are copied forward. */
const OPTIONS = { segmentBytes: 2048, cacheBytesMax: 3000, slowGroupSegments: 1 }

interface ModelGroup {
  readonly incarnation: number
  state: HardState
  compactedIndex: number
  compactedTerm: number
  /** The configuration at the compacted index; that of the log's own newest entry there, or a snapshot's. */
  base: string | undefined
  entries: Entry[]
}

type Operation =
  | {
      readonly kind: 'append'
      readonly group: number
      readonly sizes: readonly number[]
      readonly isNewTerm: boolean
    }
  | {
      readonly kind: 'replace'
      readonly group: number
      readonly back: number
      readonly sizes: readonly number[]
    }
  | { readonly kind: 'vote'; readonly group: number; readonly vote: number }
  | { readonly kind: 'both'; readonly groups: readonly number[]; readonly size: number }
  | { readonly kind: 'compact'; readonly group: number; readonly left: number }
  | { readonly kind: 'install'; readonly group: number; readonly ahead: number; readonly size: number }
  | { readonly kind: 'remove'; readonly group: number }
  | { readonly kind: 'flush' | 'reopen' }

const group = fc.integer({ min: 1, max: 4 })
const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 6 })
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('append' as const), group, sizes, isNewTerm: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('replace' as const),
      group,
      back: fc.integer({ min: 0, max: 8 }),
      sizes,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('vote' as const), group, vote: fc.integer({ min: 0, max: 5 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('both' as const),
      groups: fc.uniqueArray(group, { minLength: 1 }),
      size: fc.integer({ min: 1, max: 300 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('compact' as const),
      group,
      left: fc.integer({ min: 0, max: 6 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('install' as const),
      group,
      ahead: fc.integer({ min: -3, max: 5 }),
      size: fc.integer({ min: 0, max: 300 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), group }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
)

/** The log and what it must say; both are changed in step. */
class Pair {
  readonly #directory: string
  readonly #model = new Map<number, ModelGroup>()
  #wal: Wal
  #asked = 0
  #done = 0
  #term = 1
  #incarnations = 0

  constructor(directory: string, wal: Wal) {
    this.#directory = directory
    this.#wal = wal
  }

  async apply(operation: Operation): Promise<void> {
    switch (operation.kind) {
      case 'append': {
        if (operation.isNewTerm) this.#term += 1
        const model = this.#open(operation.group)
        const added = this.#entries(lastOf(model) + 1, operation.sizes)
        model.entries.push(...added)
        this.#append([{ group: groupId(operation.group), entries: added }])
        return
      }
      case 'replace': {
        this.#term += 1
        const model = this.#open(operation.group)
        const from = Math.max(model.compactedIndex + 1, lastOf(model) + 1 - operation.back)
        const added = this.#entries(from, operation.sizes)
        model.entries = [...model.entries.filter((known) => known.index < from), ...added]
        model.state = hardState(this.#term, 1, model.compactedIndex)
        this.#append([
          { group: groupId(operation.group), truncateFrom: from, entries: added, hardState: model.state },
        ])
        return
      }
      case 'vote': {
        const model = this.#open(operation.group)
        model.state = hardState(this.#term, operation.vote, lastOf(model))
        this.#append([{ group: groupId(operation.group), hardState: model.state }])
        return
      }
      case 'both': {
        const writes = operation.groups.map((id) => {
          const model = this.#open(id)
          const added = this.#entries(lastOf(model) + 1, [operation.size])
          model.entries.push(...added)
          return { group: groupId(id), entries: added }
        })
        this.#append(writes)
        return
      }
      case 'compact': {
        const model = this.#model.get(operation.group)
        const index = model === undefined ? 0 : lastOf(model) - operation.left
        if (model === undefined || index <= model.compactedIndex) return
        this.#wal.compact(groupId(operation.group), index)
        model.compactedTerm = model.entries.find((known) => known.index === index)!.term
        model.compactedIndex = index
        const newest = model.entries.findLast((known) => known.kind === 2 && known.index <= index)
        model.base = newest === undefined ? model.base : Buffer.from(newest.data).toString()
        model.entries = model.entries.filter((known) => known.index > index)
        return
      }
      case 'install': {
        this.#term += 1
        const model = this.#open(operation.group)
        const index = Math.max(1, model.compactedIndex, lastOf(model) + operation.ahead)
        const installed = snapshot(index, this.#term)
        const added = operation.size === 0 ? [] : this.#entries(index + 1, [operation.size])
        model.compactedIndex = index
        model.compactedTerm = this.#term
        model.base = Buffer.from(installed.configuration).toString()
        model.entries = added
        this.#append([{ group: groupId(operation.group), snapshot: installed, entries: added }])
        return
      }
      case 'remove':
        if (this.#model.delete(operation.group)) this.#wal.removeGroup(groupId(operation.group))
        return
      case 'flush':
        await new Promise<void>((resolve) => {
          this.#wal.append([], resolve)
        })
        expect(this.#done).toBe(this.#asked)
        return
      case 'reopen':
        await this.reopen()
    }
  }

  async reopen(): Promise<void> {
    await this.#wal.close()
    expect(this.#done).toBe(this.#asked)
    this.#wal = await bench.open(this.#directory, OPTIONS)
    await this.check()
  }

  async check(): Promise<void> {
    const expected = [...this.#model].sort(([a], [b]) => a - b).map(([id, model]) => describeModel(id, model))
    expect(await describeWal(this.#wal)).toEqual(expected)
  }

  #open(id: number): ModelGroup {
    const known = this.#model.get(id)
    if (known !== undefined) return known
    const incarnation = (this.#incarnations += 1)
    this.#wal.createGroup(groupId(id), uuidOf(incarnation & 255), `incarnation ${incarnation}`)
    const made = {
      incarnation,
      state: hardState(0, 0, 0),
      compactedIndex: 0,
      compactedTerm: 0,
      base: undefined,
      entries: [],
    }
    this.#model.set(id, made)
    return made
  }

  #entries(from: number, entrySizes: readonly number[]): Entry[] {
    return entrySizes.map((size, i) => entry(from + i, this.#term, size))
  }

  #append(writes: Parameters<Wal['append']>[0]): void {
    const mine = (this.#asked += 1)
    this.#wal.append(writes, () => {
      this.#done += 1
      expect(this.#done).toBe(mine)
    })
  }
}

function lastOf(model: ModelGroup): number {
  return model.compactedIndex + model.entries.length
}

function describeModel(id: number, model: ModelGroup): unknown {
  return {
    id,
    name: `incarnation ${model.incarnation}`,
    uuid: Buffer.from(uuidOf(model.incarnation & 255)).toString('hex'),
    state: model.state,
    compactedIndex: model.compactedIndex,
    compactedTerm: model.compactedTerm,
    lastIndex: lastOf(model),
    terms: [model.compactedTerm, ...model.entries.map((one) => one.term)],
    sizes: model.entries.map((one) => one.data.length),
    texts: model.entries.map(
      (one) => `${one.index} ${one.term} ${one.kind} ${Buffer.from(one.data).toString()}`,
    ),
    base: model.base,
    configurations: model.entries
      .filter((one) => one.kind === 2)
      .map((one) => `${one.index} ${one.term} ${Buffer.from(one.data).toString()}`),
  }
}

test('any sequence of operations leaves what a simple model says, before and after opening again', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 60 }), async (operations) => {
      const directory = await bench.directory()
      const pair = new Pair(directory, await bench.open(directory, OPTIONS))
      for (const next of operations) await pair.apply(next)
      await pair.check()
      await pair.reopen()
      await pair.reopen()
      await bench.end()
    }),
    { numRuns: 60 },
  )
})
