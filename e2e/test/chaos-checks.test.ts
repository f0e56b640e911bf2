import { describe, expect, test } from '@jest/globals'
import { checkConsumers } from '../src/chaos/check-consumers.js'
import { checkCopies } from '../src/chaos/check-copies.js'
import { checkEmptiness } from '../src/chaos/check-emptiness.js'
import { checkEverything } from '../src/chaos/check-everything.js'
import { checkLosses } from '../src/chaos/check-losses.js'
import { checkMetadata } from '../src/chaos/check-metadata.js'
import { checkOrder } from '../src/chaos/check-order.js'
import { checkReplicas } from '../src/chaos/check-replicas.js'
import { checkRetention } from '../src/chaos/check-retention.js'
import type { Violation } from '../src/chaos/history.js'
import {
  acknowledged,
  consumer,
  contents,
  delivered,
  registration,
  sent,
  stored,
  trimmed,
} from './chaos-messages.js'

const THREE = [sent(0), sent(1), sent(2)]
const STORED = stored('a#0', 'a#1', 'a#2')

const checks = (violations: readonly Violation[]): readonly string[] => violations.map(({ check }) => check)

test('a run in which everything was kept has no violation', () => {
  const violations = checkEverything(
    {
      sent: THREE,
      consumers: [
        consumer('auto', [delivered(0), delivered(1), delivered(2)]),
        consumer('manual', [
          delivered(0),
          delivered(1),
          delivered(0),
          acknowledged(0),
          delivered(1),
          delivered(2),
          acknowledged(2),
        ]),
      ],
      registrations: [registration(1)],
      wrongAnswers: [],
      kept: new Map(),
    },
    contents(STORED),
    3,
  )
  expect(violations).toEqual([])
})

test('a correct call that is refused for good is a violation', () => {
  const wrongAnswers = [{ call: 'produce of a#0', status: 500, body: '{}', atMs: 1 }]
  const history = { sent: THREE, consumers: [], registrations: [], wrongAnswers, kept: new Map() }
  expect(checks(checkEverything(history, contents(STORED), 3))).toEqual(['wrong-answer'])
})

describe('losses', () => {
  test('a lost prefix, middle and suffix are told apart', () => {
    const messages = [0, 1, 2, 3, 4].map((number) => sent(number))
    const left = [
      { offset: 1, value: 'a#1' },
      { offset: 3, value: 'a#3' },
    ]
    const [first] = checkLosses(messages, contents(left))
    expect(first).toMatchObject({ check: 'lost' })
    expect(first!.detail).toContain('3 of 5 acknowledged messages are missing (prefix 1, middle 1, suffix 1)')
  })

  test('one replica that lacks a message is enough', () => {
    const [whole] = contents(STORED).replicas
    const short = { brokerId: 3, partitions: new Map([['t.1', stored('a#0', 'a#1')]]), starts: new Map() }
    const violations = checkLosses(THREE, contents(STORED, { replicas: [whole!, short] }))
    expect(violations).toHaveLength(1)
    expect(violations[0]!.detail).toContain('t.1 on broker 3: 1 of 3')
  })

  test('another message in its place is a loss', () => {
    expect(checks(checkLosses(THREE, contents(stored('a#0', 'b#9', 'a#2'))))).toContain('lost')
  })

  test('a partition that nobody holds', () => {
    const [violation] = checkLosses(THREE, contents([], { replicas: [] }))
    expect(violation!.detail).toContain('nobody holds t.1')
  })

  test('what was never acknowledged may be missing', () => {
    expect(checkLosses([...THREE, sent(3, { acknowledged: undefined })], contents(STORED))).toEqual([])
  })
})

describe('copies', () => {
  test('a message that nobody sent is invented', () => {
    expect(checks(checkCopies(THREE, contents(stored('a#0', 'a#1', 'a#2', 'x#1'))))).toContain('invented')
  })

  test('so is one that was sent to another topic', () => {
    expect(checks(checkCopies([sent(0, { topic: 'u' })], contents(stored('a#0'))))).toContain('invented')
  })

  test('an acknowledged message that is there twice', () => {
    expect(checks(checkCopies(THREE, contents(stored('a#0', 'a#1', 'a#2', 'a#1'))))).toContain('duplicate')
  })

  test('so is one that is there twice after an attempt whose outcome was left open: each carried its id', () => {
    const messages = [sent(0, { unknownAttempts: 1 })]
    expect(checks(checkCopies(messages, contents(stored('a#0', 'a#0'))))).toContain('duplicate')
    const open = [sent(0, { acknowledged: undefined, unknownAttempts: 1 })]
    expect(checkCopies(open, contents(stored('a#0')))).toEqual([])
  })

  test('a message that was refused with "nothing changed", and is there', () => {
    const messages = [sent(0, { acknowledged: undefined, refusedAttempts: 1 })]
    expect(checks(checkCopies(messages, contents(stored('a#0'))))).toContain('wrong-refusal')
  })
})

describe('replicas', () => {
  test('a gap between offsets', () => {
    const gap = [
      { offset: 0, value: 'a#0' },
      { offset: 2, value: 'a#2' },
    ]
    expect(checks(checkReplicas(contents(gap), 3))).toContain('offsets')
  })

  test('an offset that is there twice', () => {
    const twice = [
      { offset: 0, value: 'a#0' },
      { offset: 0, value: 'a#1' },
    ]
    expect(checks(checkReplicas(contents(twice), 3))).toContain('offsets')
  })

  test('replicas that hold different messages', () => {
    const [one, two] = contents(STORED).replicas
    const other = {
      brokerId: 3,
      partitions: new Map([['t.1', stored('a#0', 'b#1', 'a#2')]]),
      starts: new Map(),
    }
    const [violation] = checkReplicas(contents(STORED, { replicas: [one!, two!, other] }), 3)
    expect(violation).toMatchObject({ check: 'replicas-differ' })
    expect(violation!.detail).toContain('broker 1 and broker 3 differ from position 1 on')
  })

  test('a replica too few', () => {
    const { replicas } = contents(STORED)
    expect(checks(checkReplicas(contents(STORED, { replicas: replicas.slice(1) }), 3))).toEqual([
      'replica-count',
    ])
  })
})

describe('order', () => {
  const at = (offset: number, atMs: number) => ({ acknowledged: { partition: 't.1', offset, atMs } })

  test('a later message of a lane in front of an earlier one', () => {
    expect(checks(checkOrder([sent(0, at(1, 5)), sent(1, at(0, 15))]))).toContain('producer-order')
  })

  test('two messages at one place', () => {
    expect(checks(checkOrder([sent(0), sent(0, { lane: 'b' })]))).toContain('same-place')
  })

  test('a message behind one that was sent after its acknowledgement, of whichever lane', () => {
    const early = sent(0, at(1, 5))
    const late = sent(0, { lane: 'b', sentMs: 6, ...at(0, 9) })
    expect(checks(checkOrder([early, late]))).toEqual(['real-time-order'])
  })

  test('messages that were under way together may lie in any order', () => {
    expect(checkOrder([sent(0, at(1, 8)), sent(0, { lane: 'b', sentMs: 6, ...at(0, 9) })])).toEqual([])
  })
})

describe('consumers', () => {
  const check = (
    ack: 'auto' | 'manual',
    ...events: readonly ReturnType<typeof delivered>[]
  ): readonly string[] =>
    checks(checkConsumers({ consumers: [consumer(ack, events)], sent: THREE }, contents(STORED)))

  test('a position that goes back', () => {
    expect(check('auto', delivered(0), delivered(1), delivered(1), delivered(2))).toEqual([
      'consumer-went-back',
    ])
  })

  test('a position that goes back behind an acknowledgement', () => {
    expect(check('manual', delivered(0), acknowledged(0), delivered(0))).toEqual(['consumer-went-back'])
  })

  test('a message that is skipped', () => {
    expect(check('auto', delivered(0), delivered(2))).toEqual(['consumer-skipped'])
    expect(check('manual', delivered(0), acknowledged(0), delivered(2))).toEqual(['consumer-skipped'])
  })

  test('an end that is told too early', () => {
    expect(check('auto', delivered(0), delivered(1))).toEqual(['consumer-skipped'])
    expect(check('auto')).toEqual(['consumer-skipped'])
  })

  test('another message than the one that is stored there', () => {
    expect(check('auto', delivered(0), delivered(1, 'b#1'), delivered(2))).toEqual(['consumer-wrong-message'])
  })
})

describe('a topic that does not keep everything', () => {
  const kept = new Map([['t', 2]])
  const told = (count: number) => ({ kind: 'skipped', partition: 't.1', count }) as const
  const follow = (
    change: Partial<ReturnType<typeof consumer>>,
    ack: 'auto' | 'manual',
    ...events: Parameters<typeof consumer>[1]
  ): readonly string[] =>
    checks(
      checkConsumers(
        { consumers: [{ ...consumer(ack, events), ...change }], sent: THREE },
        trimmed(1, STORED),
      ),
    )

  test('what is before the start of the log is not lost, and offsets go on from there', () => {
    const left = trimmed(1, STORED)
    expect(checkLosses(THREE, left)).toEqual([])
    expect(checkReplicas(left, 3)).toEqual([])
    expect(checkRetention(kept, left)).toEqual([])
  })

  test('a message at or behind the start is lost when it is missing', () => {
    expect(checks(checkLosses(THREE, trimmed(1, stored('a#0', 'a#1'))))).toContain('lost')
    expect(checks(checkReplicas(trimmed(0, STORED.slice(1)), 3))).toContain('offsets')
  })

  test('a log may not start later than the topic says, nor where it keeps everything, nor at different offsets', () => {
    expect(checks(checkRetention(kept, trimmed(2, STORED)))).toContain('deleted-too-much')
    expect(checks(checkRetention(new Map(), trimmed(1, STORED)))).toContain('deleted-too-much')
    const { replicas, ...others } = trimmed(1, STORED)
    const late = { ...replicas[2]!, starts: new Map([['t.1', 0]]) }
    expect(checks(checkRetention(kept, { ...others, replicas: [...replicas.slice(0, 2), late] }))).toEqual([
      'log-start',
    ])
  })

  test('who had read everything before it was deleted saw every message', () => {
    expect(follow({}, 'auto', delivered(0), delivered(1), delivered(2))).toEqual([])
    expect(follow({}, 'auto', delivered(0, 'b#0'), delivered(1), delivered(2))).toEqual([
      'consumer-wrong-message',
    ])
  })

  test('who is overtaken is told by how much, no more and no less', () => {
    expect(follow({}, 'auto', told(1), delivered(1), delivered(2))).toEqual([])
    expect(
      follow({}, 'manual', told(1), delivered(1), told(1), delivered(1), delivered(2), acknowledged(2)),
    ).toEqual([])
    expect(follow({}, 'auto', delivered(1), delivered(2))).toEqual(['consumer-skipped'])
    expect(follow({}, 'auto', told(2), delivered(2))).toEqual(['consumer-skipped'])
  })

  test('who was cut off has not been told that nothing is left', () => {
    expect(follow({}, 'auto', delivered(0))).toEqual(['consumer-skipped'])
    expect(follow({ end: 'cut-off' }, 'auto', delivered(0))).toEqual([])
    expect(follow({ end: 'cut-off' }, 'auto', delivered(1))).toEqual(['consumer-skipped'])
  })

  test('who wants an error instead ends with it, and the next one begins where the log does', () => {
    expect(follow({ end: 'refused' }, 'auto', delivered(0))).toEqual([])
    expect(follow({ isLate: true }, 'auto', delivered(1), delivered(2))).toEqual([])
    expect(follow({ isLate: true }, 'auto', delivered(1))).toEqual(['consumer-skipped'])
  })
})

describe('"nothing is left"', () => {
  const asked = (startedMs: number) => ({ kind: 'empty', startedMs }) as const
  const check = (...events: Parameters<typeof consumer>[1]): readonly string[] =>
    checks(checkEmptiness([consumer('auto', events)], THREE))

  test('is wrong when a message was acknowledged before it was asked, and not given', () => {
    expect(check(delivered(0), asked(16))).toEqual(['consumer-told-empty'])
    expect(check(asked(6))).toEqual(['consumer-told-empty'])
  })

  test('is right of messages that were acknowledged after it was asked', () => {
    expect(check(asked(5), delivered(0), asked(15), delivered(1), delivered(2), asked(100))).toEqual([])
  })
})

describe('metadata', () => {
  const check = (...registrations: readonly ReturnType<typeof registration>[]): readonly string[] =>
    checks(checkMetadata(registrations, contents(STORED)))

  test('an acknowledged producer that a database lacks', () => {
    expect(check(registration(2))).toEqual(['metadata-lost', 'metadata-lost', 'metadata-lost'])
  })

  test('a producer of another topic than it was registered for', () => {
    const metadata = contents(STORED).metadata.map((one) => ({ ...one, producers: new Map([[1, 'u']]) }))
    expect(checks(checkMetadata([registration(1)], contents(STORED, { metadata })))).toContain(
      'metadata-lost',
    )
  })

  test('an acknowledged topic that is not listed', () => {
    expect(
      checks(checkMetadata([registration(0, { kind: 'topic', topic: 'u' })], contents(STORED))),
    ).toContain('metadata-lost')
  })

  test('an id that is given twice', () => {
    expect(check(registration(1), registration(1))).toEqual(['metadata-ids'])
  })

  test('a lower id for a call that began after the higher one was answered', () => {
    const metadata = contents(STORED).metadata.map((one) => ({
      ...one,
      producers: new Map([
        [1, 't'],
        [2, 't'],
      ]),
    }))
    const late = registration(1, { startedMs: 100, endedMs: 101 })
    expect(checks(checkMetadata([registration(2), late], contents(STORED, { metadata })))).toEqual([
      'metadata-ids',
    ])
  })

  test('databases that show different things', () => {
    const [one, two] = contents(STORED).metadata
    const metadata = [one!, { ...two!, consumers: new Map() }]
    expect(checks(checkMetadata([], contents(STORED, { metadata })))).toEqual(['metadata-differs'])
  })

  test('a call whose outcome is open may have taken effect, or not', () => {
    expect(check(registration(9, { outcome: 'unknown' }))).toEqual([])
  })
})
