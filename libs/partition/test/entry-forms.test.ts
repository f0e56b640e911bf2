import { describe, expect, test } from '@jest/globals'
import { encodeRecordBatch, stampBatch, toOffset } from '@sluice/domain'
import { BUILD_VERSION } from '@sluice/foundation'
import {
  checkEntryLevel,
  COMPACT_CURSORS_LEVEL,
  type CursorOperation,
  decodePartitionCommand,
  encodeAppend,
  encodeClose,
  encodeCompactCursors,
  encodeCursors,
  encodeTrim,
  encodeVoid,
  type PartitionCommand,
} from '@sluice/partition'
import fc from 'fast-check'

const ids = { consumerId: 3, requestId: '00112233445566778899aabbccddeeff' }
const OPERATIONS: readonly CursorOperation[] = [
  { kind: 'grant', ...ids, from: 5, to: 300, holder: 2 ** 40 },
  { kind: 'set', ...ids, offset: 2 ** 52, forwardOnly: true },
  { kind: 'set', ...ids, offset: 0, forwardOnly: false },
  { kind: 'hold', ...ids, holder: 7 },
  { kind: 'release', ...ids, from: 5, holder: 7, orEarlier: true },
  { kind: 'release', ...ids, from: 5, holder: 7, orEarlier: false },
]
const ID = ids.requestId
const WIDE_ID = `03000000${ID}`

function batch(): Uint8Array {
  const bytes = encodeRecordBatch({
    records: [{ timestamp: 1_700_000_000_000, key: null, value: Uint8Array.of(1, 2), headers: [] }],
  })
  stampBatch(bytes, toOffset(9), 4)
  return bytes
}

interface Golden {
  readonly kind: number
  readonly level: number
  readonly hex: string
  readonly command: PartitionCommand
  /** Absent: read, no longer written. */
  readonly encoded?: () => Uint8Array
}

/** Every kind of entry as it has been in logs since it came, and as it must be read for ever. */
const GOLDEN: readonly Golden[] = [
  {
    kind: 1,
    level: 1,
    hex: `01${Buffer.from(batch()).toString('hex')}`,
    command: { kind: 'append', batch: batch() },
    encoded: () => encodeAppend(batch()),
  },
  {
    kind: 2,
    level: 1,
    hex: `0201000000` + `01${WIDE_ID}00000000000014400000000000c07240`,
    command: { kind: 'cursors', operations: [{ kind: 'grant', ...ids, from: 5, to: 300, holder: 0 }] },
  },
  {
    kind: 3,
    level: 2,
    hex: '030000000000002240',
    command: { kind: 'trim', logStart: 9 },
    encoded: () => encodeTrim(9),
  },
  {
    kind: 4,
    level: 2,
    hex:
      '0406000000' +
      `01${WIDE_ID}00000000000014400000000000c072400000000000007042` +
      `02${WIDE_ID}0000000000003043000000000000f03f0000000000000000` +
      `02${WIDE_ID}000000000000000000000000000000000000000000000000` +
      `03${WIDE_ID}000000000000000000000000000000000000000000001c40` +
      `04${WIDE_ID}000000000000144000000000000000000000000000001c40` +
      `04${WIDE_ID}0000000000001440000000000000f03f0000000000001c40`,
    command: { kind: 'cursors', operations: OPERATIONS },
    encoded: () => encodeCursors(OPERATIONS),
  },
  {
    kind: 5,
    level: 2,
    hex: `05${ID}${'01'.repeat(16)}`,
    command: { kind: 'void', ids: [ID, '01'.repeat(16)] },
    encoded: () => encodeVoid([ID, '01'.repeat(16)]),
  },
  {
    kind: 6,
    level: COMPACT_CURSORS_LEVEL,
    hex:
      '0606' +
      `0103${ID}05ac02808080808020` +
      `0303${ID}8080808080808008` +
      `0203${ID}00` +
      `0403${ID}07` +
      `0603${ID}0507` +
      `0503${ID}0507`,
    command: { kind: 'cursors', operations: OPERATIONS },
    encoded: () => encodeCompactCursors(OPERATIONS),
  },
  { kind: 16, level: 2, hex: '10', command: { kind: 'close' }, encoded: () => encodeClose() },
]

describe.each(GOLDEN)('entries of kind $kind', ({ kind, level, hex, command, encoded }) => {
  test('are read as they were written when the kind came', () => {
    expect(decodePartitionCommand(new Uint8Array(Buffer.from(hex, 'hex')))).toEqual(command)
  })

  test('are written as they always were: another form takes another kind', () => {
    const bytes = encoded?.()
    expect(bytes === undefined ? kind : Buffer.from(bytes).toString('hex')).toBe(
      encoded === undefined ? 2 : hex,
    )
  })

  test('are refused below the feature level that they came with', () => {
    const entry = new Uint8Array(Buffer.from(hex, 'hex'))
    expect(() => checkEntryLevel(entry, level)).not.toThrow()
    expect(() => checkEntryLevel(entry, level + 1)).not.toThrow()
    expect(() => checkEntryLevel(entry, level - 1)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED_VERSION',
        outcome: 'no',
        message: expect.stringContaining(
          `kind ${kind} takes feature level ${level}, the cluster is at ${level - 1}`,
        ),
      }),
    )
  })
})

test('the batch in an append entry has the bytes that it always had', () => {
  expect(Buffer.from(batch()).toString('hex')).toBe(
    '00000000000000090000003a00000004022992d8440000000000000000018bcfe568000000018bcfe56800ffffffffffffffffffffffffffff00000001100000000104010200',
  )
})

test('every other kind is of a later version: a typed error that names this one, and none is written', () => {
  const known = new Set(GOLDEN.map(({ kind }) => kind))
  for (let kind = 0; kind < 256; kind++) {
    if (known.has(kind)) continue
    const entry = Uint8Array.of(kind, 1, 2, 3, 4, 5, 6, 7, 8)
    expect(() => decodePartitionCommand(entry)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED_VERSION',
        message: expect.stringMatching(
          new RegExp(`partition command of kind ${kind}, which a later version than ${BUILD_VERSION} wrote`),
        ),
      }),
    )
    expect(() => checkEntryLevel(entry, 99)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_VERSION' }))
  }
})

const position = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const named = {
  consumerId: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  requestId: fc
    .uint8Array({ minLength: 16, maxLength: 16 })
    .map((bytes) => Buffer.from(bytes).toString('hex')),
}
const operation: fc.Arbitrary<CursorOperation> = fc.oneof(
  fc.record({
    kind: fc.constant('grant' as const),
    ...named,
    from: position,
    to: position,
    holder: position,
  }),
  fc.record({ kind: fc.constant('set' as const), ...named, offset: position, forwardOnly: fc.boolean() }),
  fc.record({ kind: fc.constant('hold' as const), ...named, holder: position }),
  fc.record({
    kind: fc.constant('release' as const),
    ...named,
    from: position,
    holder: position,
    orEarlier: fc.boolean(),
  }),
)

describe('compact cursor operations', () => {
  test('say the same as wide ones, whatever the numbers', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 20 }), (operations) => {
        const compact = decodePartitionCommand(encodeCompactCursors(operations))
        expect(compact).toEqual({ kind: 'cursors', operations })
        expect(compact).toEqual(decodePartitionCommand(encodeCursors(operations)))
      }),
    )
  })

  test('cut off, or with something behind them, are CORRUPT_BATCH, never other operations', () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 5 }), fc.nat(), (operations, n) => {
        const whole = encodeCompactCursors(operations)
        const cut = whole.subarray(0, 1 + (n % (whole.length - 1)))
        for (const bytes of [cut, Uint8Array.of(...whole, n % 256)])
          expect(() => decodePartitionCommand(bytes)).toThrow(
            expect.objectContaining({ code: 'CORRUPT_BATCH' }),
          )
      }),
    )
  })

  test('with a number that no number holds are CORRUPT_BATCH', () => {
    const hold = (holder: string): Uint8Array => new Uint8Array(Buffer.from(`06010403${ID}${holder}`, 'hex'))
    expect(decodePartitionCommand(hold('ffffffffffffff0f'))).toMatchObject({
      operations: [{ holder: Number.MAX_SAFE_INTEGER }],
    })
    for (const large of ['8080808080808010', '808080808080808001', 'ff'.repeat(20)])
      expect(() => decodePartitionCommand(hold(large))).toThrow(
        expect.objectContaining({ code: 'CORRUPT_BATCH' }),
      )
  })

  test('an unknown operation is CORRUPT_BATCH', () => {
    const bytes = new Uint8Array(Buffer.from(`06010703${ID}07`, 'hex'))
    expect(() => decodePartitionCommand(bytes)).toThrow(expect.objectContaining({ code: 'CORRUPT_BATCH' }))
  })

  test('take two thirds of the room for what a consumer usually does', () => {
    const usual: CursorOperation = { kind: 'grant', ...ids, from: 100_000, to: 100_001, holder: 1 }
    const [compact, wide] = [encodeCompactCursors([usual]).length, encodeCursors([usual]).length]
    expect(compact).toBeLessThanOrEqual((wide * 2) / 3)
  })
})
