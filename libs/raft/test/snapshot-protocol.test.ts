import { describe, expect, test } from '@jest/globals'
import { deferred } from '@sluice/foundation'
import type { NodeId } from '../src/core/types.js'
import { ByteBudget } from '../src/snapshot/byte-budget.js'
import { SnapshotBusyError } from '../src/snapshot/errors.js'
import {
  type ChunkFrame,
  type OfferFrame,
  type ReceiverFrame,
  SnapshotFrameKind,
  SnapshotRefusal,
} from '../src/snapshot/frame.js'
import { Gate } from '../src/snapshot/gate.js'
import { type ReceiverLimits, SnapshotReceiver } from '../src/snapshot/snapshot-receiver.js'
import { type SenderLimits, type SenderStep, SnapshotSender } from '../src/snapshot/snapshot-sender.js'
import { Turns } from '../src/snapshot/turns.js'
import { dataOf, GROUP, groupId, metaOf, OTHER_UUID, UUID } from './snapshot-fixture.js'

const TRANSFER = { epoch: 5, sequence: 1 }
const HEAD = { group: GROUP, transfer: TRANSFER }
const CONTENT = { id: dataOf(16), sizeBytes: 1000, crc: undefined }
const DATA = dataOf(1000)
const { ACCEPT, ACK, CANCEL, CHUNK, DONE, OFFER, REFUSE } = SnapshotFrameKind

function accept(offset: number): ReceiverFrame {
  return { kind: ACCEPT, ...HEAD, offset }
}

function ack(offset: number, isGap = false): ReceiverFrame {
  return { kind: ACK, ...HEAD, offset, isGap }
}

function refuse(reason: SnapshotRefusal): ReceiverFrame {
  return { kind: REFUSE, ...HEAD, reason }
}

/** A sender with a source that answers at once. */
class Sending {
  readonly budget: ByteBudget
  readonly sender: SnapshotSender
  outcome: SenderStep['outcome']

  constructor(limits: Partial<SenderLimits> = {}, budget = { bytesPerTick: 1e6, bytesMax: 1e6 }) {
    this.budget = new ByteBudget(budget)
    this.sender = new SnapshotSender({
      group: GROUP,
      uuid: UUID,
      term: 3,
      meta: metaOf(10),
      content: CONTENT,
      transfer: TRANSFER,
      budget: this.budget,
      limits: {
        chunkBytes: 100,
        windowBytes: 300,
        retransmitTicks: 5,
        busyTicks: 7,
        silentTicksMax: 50,
        ...limits,
      },
    })
  }

  /** What it sends now: kinds of frames, and offsets of chunks. */
  get sent(): (string | number)[] {
    const sent: (string | number)[] = []
    for (;;) {
      const { frames, read, outcome } = this.sender.take()
      for (const frame of frames) {
        if (frame.kind === CHUNK) {
          expect(frame.data).toEqual(DATA.subarray(frame.offset, frame.offset + frame.data.length))
          sent.push(frame.offset)
        } else sent.push(frame.kind === OFFER ? 'offer' : 'cancel')
      }
      this.outcome ??= outcome
      if (read !== undefined) this.sender.loaded(DATA.subarray(read.offset, read.offset + read.lengthBytes))
      else if (frames.length === 0) return sent
    }
  }

  after(...frames: readonly ReceiverFrame[]): (string | number)[] {
    for (const frame of frames) this.sender.receive(frame)
    return this.sent
  }

  ticks(count: number): (string | number)[] {
    for (let i = 0; i < count; i++) {
      this.budget.tick()
      this.sender.tick()
    }
    return this.sent
  }
}

describe('a sender', () => {
  test('offers, sends what its window holds, and more with each acknowledgement', () => {
    const sending = new Sending()
    expect(sending.sent).toEqual(['offer'])
    expect(sending.after(accept(0))).toEqual([0, 100, 200])
    expect(sending.after(ack(100))).toEqual([300])
    expect(sending.after(ack(100), ack(50))).toEqual([])
    expect(sending.after(ack(400))).toEqual([400, 500, 600])
    expect(sending.after(ack(700))).toEqual([700, 800, 900])
    expect(sending.after(ack(1000))).toEqual([])
    expect(sending.outcome).toBeUndefined()
    expect(sending.after({ kind: DONE, ...HEAD })).toEqual([])
    expect(sending.outcome).toEqual({ kind: 'sent' })
    expect(sending.after(accept(0))).toEqual([])
    expect(sending.ticks(100)).toEqual([])
  })

  test('goes on where the receiver is', () => {
    const sending = new Sending()
    expect(sending.after(accept(850))).toEqual(['offer', 850, 950])
    expect(new Sending().after(accept(1000))).toEqual(['offer'])
  })

  test('sends again what is not acknowledged in time, and offers when that brings nothing', () => {
    const sending = new Sending()
    sending.after(accept(0))
    expect(sending.ticks(4)).toEqual([])
    expect(sending.ticks(1)).toEqual(['offer', 0, 100, 200])
    expect(sending.after(ack(100))).toEqual([300])
    expect(sending.ticks(4)).toEqual([])
    expect(sending.ticks(1)).toEqual(['offer', 100, 200, 300])
  })

  test('goes back to a gap once a tick, however many frames tell of it', () => {
    const sending = new Sending()
    sending.after(accept(0), ack(100))
    expect(sending.after(ack(100, true), ack(100, true), ack(100, true))).toEqual([100, 200, 300])
    expect(sending.after(ack(100, true))).toEqual([])
    sending.ticks(1)
    expect(sending.after(ack(200, true))).toEqual([200, 300, 400])
  })

  test('believes a receiver that lost what it had acknowledged', () => {
    const sending = new Sending()
    sending.after(accept(0), ack(300))
    expect(sending.after(accept(100))).toEqual([100, 200, 300])
    sending.after(ack(1000))
    expect(sending.after(accept(900))).toEqual([900])
  })

  test('ignores what is not about its transfer, or beyond its end', () => {
    const sending = new Sending()
    expect(sending.sent).toEqual(['offer'])
    expect(sending.after({ ...accept(0), transfer: { epoch: 5, sequence: 2 } })).toEqual([])
    expect(sending.after({ ...accept(0), transfer: { epoch: 6, sequence: 1 } })).toEqual([])
    expect(sending.after(accept(1001), ack(5000))).toEqual([])
    expect(sending.after({ kind: DONE, group: GROUP, transfer: { epoch: 5, sequence: 2 } })).toEqual([])
    expect(sending.outcome).toBeUndefined()
  })

  test('offers again to a receiver that does not know the transfer, once for all its refusals', () => {
    const sending = new Sending()
    sending.after(accept(0))
    const unknown = refuse(SnapshotRefusal.UNKNOWN_TRANSFER)
    expect(sending.after(unknown, unknown, unknown)).toEqual(['offer'])
    expect(sending.after(ack(100))).toEqual([])
    expect(sending.after(accept(200))).toEqual([200, 300, 400])
  })

  test('asks a busy receiver again, but not for ever', () => {
    const sending = new Sending({ busyTicksMax: 30 })
    sending.after(refuse(SnapshotRefusal.BUSY))
    for (let asked = 0; asked < 4; asked++) {
      expect(sending.ticks(6)).toEqual([])
      expect(sending.ticks(1)).toEqual(['offer'])
      sending.after(refuse(SnapshotRefusal.BUSY))
    }
    expect(sending.ticks(2)).toEqual(['cancel'])
    expect(sending.outcome).toMatchObject({ kind: 'failed', error: { reason: 'peer-busy' } })
  })

  test.each([
    [SnapshotRefusal.FOREIGN_GROUP, 'foreign-group'],
    [SnapshotRefusal.UNKNOWN_GROUP, 'unknown-group'],
    [SnapshotRefusal.STALE_TERM, 'stale-term'],
    [SnapshotRefusal.SUPERSEDED, 'superseded'],
    [SnapshotRefusal.TOO_LARGE, 'too-large'],
    [SnapshotRefusal.STORAGE, 'receiver-storage'],
    [SnapshotRefusal.DAMAGED, 'damaged'],
  ] as const)('ends by refusal %i with reason %s', (refusal, reason) => {
    const sending = new Sending()
    sending.after(accept(0), refuse(refusal))
    expect(sending.outcome).toMatchObject({ kind: 'failed', error: { reason } })
    expect(sending.sender.isEnded).toBe(true)
  })

  test('is silent for the budget only, however long that takes', () => {
    const sending = new Sending({ silentTicksMax: 10 }, { bytesPerTick: 1, bytesMax: 100 })
    expect(sending.after(accept(0))).toEqual(['offer', 0])
    sending.after(ack(100))
    const sent: (string | number)[] = []
    for (let tick = 0; tick < 99; tick++) {
      sent.push(...sending.ticks(1))
      sending.after(ack(100))
    }
    expect(sent.filter((what) => what !== 'offer')).toEqual([])
    expect(sent.length).toBeGreaterThan(10)
    expect(sending.ticks(1)).toContain(100)
    expect(sending.outcome).toBeUndefined()
  })

  test('gives back what the budget paid for and was not sent', () => {
    const sending = new Sending({}, { bytesPerTick: 0, bytesMax: 1000 })
    const { sender, budget } = sending
    sending.after(accept(900))
    sender.receive(ack(950, true))
    const { read } = sender.take()
    expect(read).toEqual({ offset: 950, lengthBytes: 50 })
    sender.linkLost()
    sender.loaded(DATA.subarray(950))
    expect(budget.take(900)).toBe(true)
    expect(budget.take(1)).toBe(false)
    budget.give(900)
    sender.receive(accept(0))
    expect(sender.take().read).toEqual({ offset: 0, lengthBytes: 100 })
    sender.cancel()
    expect(budget.take(900)).toBe(true)
  })

  test('waits for the next tick when the link is full, and then goes on with what it did not take', () => {
    const sending = new Sending()
    sending.after(accept(0), ack(300))
    sending.sender.unsent({ kind: CHUNK, ...HEAD, offset: 400, data: DATA.subarray(400, 500) })
    expect(sending.after(ack(400))).toEqual([])
    expect(sending.ticks(1)).toEqual([400, 500, 600])
  })

  test('offers after a lost link, and sends nothing else before it is accepted', () => {
    const sending = new Sending()
    sending.after(accept(0))
    sending.sender.linkLost()
    expect(sending.after(ack(100))).toEqual([])
    expect(sending.ticks(1)).toEqual(['offer'])
    expect(sending.after(accept(300))).toEqual([300, 400, 500])
  })
})

const FROM = 1 as NodeId
const OTHER = 2 as NodeId

function offer(change: Partial<OfferFrame> = {}): OfferFrame {
  return { kind: OFFER, ...HEAD, uuid: UUID, term: 3, meta: metaOf(10), content: CONTENT, ...change }
}

function chunk(offset: number, end: number): ChunkFrame {
  return { kind: CHUNK, ...HEAD, offset, data: dataOf(2000).subarray(offset, end) }
}

function receiving(limits: Partial<ReceiverLimits> = {}): SnapshotReceiver {
  return new SnapshotReceiver({ uuidOf: (group) => (group === GROUP + 100 ? undefined : UUID), limits })
}

/** What it wants now, in few words. */
function wanted(receiver: SnapshotReceiver): string[] {
  return receiver.take().map((action) => {
    switch (action.kind) {
      case 'send': {
        const { frame, peer } = action
        const name = Object.entries(SnapshotFrameKind)
          .find(([, kind]) => kind === frame.kind)![0]
          .toLowerCase()
        const what =
          frame.kind === REFUSE
            ? Object.entries(SnapshotRefusal).find(([, reason]) => reason === frame.reason)![0]
            : 'offset' in frame
              ? frame.offset
              : ''
        return `${name} ${what}${frame.kind === ACK && frame.isGap ? ' gap' : ''} to ${peer}`.replace(
          '  ',
          ' ',
        )
      }
      case 'write':
        return `write ${action.offset}-${action.offset + action.data.length}`
      case 'end':
        return action.keep ? 'suspend' : 'abort'
      default:
        return action.kind
    }
  })
}

describe('a receiver', () => {
  test('writes what follows, acknowledges what is written, and finishes', () => {
    const receiver = receiving()
    receiver.receive(FROM, offer())
    expect(wanted(receiver)).toEqual(['open'])
    receiver.receive(FROM, chunk(0, 100))
    expect(wanted(receiver)).toEqual([])
    receiver.opened(1, 300)
    expect(wanted(receiver)).toEqual(['accept 300 to 1'])
    receiver.receive(FROM, chunk(300, 400))
    receiver.receive(FROM, chunk(400, 1000))
    expect(wanted(receiver)).toEqual(['write 300-400', 'write 400-1000'])
    receiver.written(1, 400)
    expect(wanted(receiver)).toEqual(['ack 400 to 1'])
    receiver.written(1, 1000)
    expect(wanted(receiver)).toEqual(['ack 1000 to 1', 'finish'])
    receiver.receive(FROM, offer())
    expect(wanted(receiver)).toEqual(['ack 1000 to 1'])
    expect(receiver.finished(1)).toMatchObject({ from: FROM, offer: { term: 3 } })
    expect(wanted(receiver)).toEqual(['done to 1'])
    receiver.receive(FROM, chunk(0, 100))
    receiver.receive(FROM, offer())
    expect(wanted(receiver)).toEqual(['done to 1', 'done to 1'])
    receiver.released(1)
    expect(receiver.count).toBe(0)
    receiver.receive(FROM, offer())
    receiver.receive(FROM, chunk(0, 100))
    expect(wanted(receiver)).toEqual(['done to 1', 'done to 1'])
  })

  test('drops what it has and what does not follow, and takes the new part of what overlaps', () => {
    const receiver = receiving()
    receiver.receive(FROM, offer())
    receiver.opened(1, 200)
    wanted(receiver)
    receiver.receive(FROM, chunk(0, 200))
    receiver.receive(FROM, chunk(201, 300))
    receiver.receive(FROM, chunk(100, 250))
    receiver.receive(FROM, chunk(300, 400))
    expect(wanted(receiver)).toEqual([
      'ack 200 to 1',
      'ack 200 gap to 1',
      'write 200-250',
      'ack 250 gap to 1',
    ])
  })

  test('keeps no more for the disk than it may', () => {
    const receiver = receiving({ bufferBytesMax: 250 })
    receiver.receive(FROM, offer())
    receiver.opened(1, 0)
    wanted(receiver)
    for (let at = 0; at < 500; at += 100) receiver.receive(FROM, chunk(at, at + 100))
    expect(wanted(receiver)).toEqual(['write 0-100', 'write 100-200', 'ack 200 gap to 1', 'ack 200 gap to 1'])
    receiver.written(1, 100)
    receiver.receive(FROM, chunk(200, 300))
    expect(wanted(receiver)).toEqual(['ack 100 to 1', 'write 200-300'])
  })

  test('ends a transfer whose data goes beyond the size it was offered with', () => {
    const receiver = receiving()
    receiver.receive(FROM, offer())
    receiver.opened(1, 900)
    wanted(receiver)
    receiver.receive(FROM, chunk(900, 1001))
    expect(wanted(receiver)).toEqual(['refuse DAMAGED to 1', 'abort'])
    receiver.written(1, 1000)
    expect(wanted(receiver)).toEqual([])
  })

  test('takes nothing without an offer, and nothing from others than the one who offered', () => {
    const receiver = receiving()
    receiver.receive(FROM, chunk(0, 100))
    expect(wanted(receiver)).toEqual(['refuse UNKNOWN_TRANSFER to 1'])
    receiver.receive(FROM, offer())
    receiver.opened(1, 0)
    wanted(receiver)
    receiver.receive(OTHER, chunk(0, 100))
    receiver.receive(OTHER, { kind: CANCEL, ...HEAD })
    receiver.receive(FROM, { kind: CANCEL, group: GROUP, transfer: { epoch: 5, sequence: 9 } })
    expect(wanted(receiver)).toEqual(['refuse UNKNOWN_TRANSFER to 2'])
    receiver.receive(FROM, { kind: CANCEL, ...HEAD })
    expect(wanted(receiver)).toEqual(['suspend'])
  })

  test('refuses what is not for it, and what is too much', () => {
    const receiver = receiving({ transfersMax: 1, snapshotBytesMax: 2000 })
    receiver.receive(FROM, offer({ uuid: OTHER_UUID }))
    receiver.receive(FROM, offer({ group: groupId(GROUP + 100) }))
    receiver.receive(FROM, offer({ content: { ...CONTENT, sizeBytes: 2001 } }))
    receiver.receive(FROM, offer())
    receiver.receive(FROM, offer({ group: groupId(GROUP + 1) }))
    expect(wanted(receiver)).toEqual([
      'refuse FOREIGN_GROUP to 1',
      'refuse UNKNOWN_GROUP to 1',
      'refuse TOO_LARGE to 1',
      'open',
      'refuse BUSY to 1',
    ])
  })

  test('prefers a later term and a later transfer, and ignores an earlier one', () => {
    const receiver = receiving()
    const later = offer({ transfer: { epoch: 5, sequence: 2 }, meta: metaOf(20) })
    receiver.receive(FROM, offer({ transfer: { epoch: 5, sequence: 1 } }))
    wanted(receiver)
    receiver.receive(FROM, later)
    expect(wanted(receiver)).toEqual(['refuse SUPERSEDED to 1', 'abort', 'open'])
    receiver.receive(FROM, offer({ transfer: { epoch: 5, sequence: 1 } }))
    expect(wanted(receiver)).toEqual([])
    receiver.receive(OTHER, offer({ term: 2 }))
    expect(wanted(receiver)).toEqual(['refuse STALE_TERM to 2'])
    receiver.receive(OTHER, offer({ term: 4, meta: metaOf(5) }))
    expect(wanted(receiver)).toEqual(['refuse SUPERSEDED to 1', 'abort', 'open'])
    // The first two answers of the files come too late for anybody.
    receiver.opened(1, 0)
    receiver.failed(2, SnapshotRefusal.STORAGE)
    expect(wanted(receiver)).toEqual([])
  })

  test('goes on with the same content from another sender', () => {
    const receiver = receiving()
    receiver.receive(FROM, offer())
    receiver.opened(1, 0)
    receiver.receive(FROM, chunk(0, 100))
    receiver.written(1, 100)
    wanted(receiver)
    const taken = offer({ term: 4, transfer: { epoch: 8, sequence: 1 } })
    receiver.receive(OTHER, taken)
    expect(wanted(receiver)).toEqual(['refuse SUPERSEDED to 1', 'accept 100 to 2'])
    receiver.receive(FROM, chunk(100, 200))
    receiver.receive(OTHER, { ...chunk(100, 200), transfer: taken.transfer })
    expect(wanted(receiver)).toEqual(['refuse UNKNOWN_TRANSFER to 1', 'write 100-200'])
  })

  test('takes no other snapshot while one is made durable or is with its group', () => {
    const receiver = receiving()
    receiver.receive(FROM, offer())
    receiver.opened(1, 1000)
    wanted(receiver)
    const newer = offer({ transfer: { epoch: 5, sequence: 2 }, meta: metaOf(20) })
    receiver.receive(FROM, newer)
    expect(wanted(receiver)).toEqual(['refuse BUSY to 1'])
    receiver.finished(1)
    receiver.receive(FROM, newer)
    expect(wanted(receiver)).toEqual(['done to 1', 'refuse BUSY to 1'])
    receiver.released(1)
    receiver.receive(FROM, newer)
    expect(wanted(receiver)).toEqual(['open'])
  })

  test('gives up a silent sender’s place, but none whose disk is at work', () => {
    const receiver = receiving({ silentTicksMax: 3 })
    receiver.receive(FROM, offer())
    for (let i = 0; i < 10; i++) receiver.tick()
    expect(wanted(receiver)).toEqual(['open'])
    receiver.opened(1, 0)
    receiver.tick()
    receiver.tick()
    receiver.receive(FROM, chunk(500, 600))
    receiver.tick()
    receiver.tick()
    expect(wanted(receiver)).toEqual(['accept 0 to 1', 'ack 0 gap to 1'])
    receiver.tick()
    expect(wanted(receiver)).toEqual(['suspend'])
    expect(receiver.count).toBe(0)
  })

  test('delivers nothing to a group that was closed meanwhile', () => {
    const receiver = receiving()
    receiver.receive(FROM, offer())
    receiver.opened(1, 1000)
    wanted(receiver)
    receiver.cancel(GROUP)
    expect(wanted(receiver)).toEqual(['suspend'])
    expect(receiver.finished(1)).toBeUndefined()
    expect(receiver.failed(1, SnapshotRefusal.STORAGE)).toBeUndefined()
    expect(wanted(receiver)).toEqual([])
  })

  test('tells the sender what failed, and begins again with the next offer', () => {
    const receiver = receiving()
    receiver.receive(FROM, offer())
    expect(receiver.failed(1, SnapshotRefusal.STORAGE)).toMatchObject({ from: FROM })
    receiver.receive(FROM, offer())
    expect(wanted(receiver)).toEqual(['open', 'refuse STORAGE to 1', 'open'])
  })
})

describe('a byte budget', () => {
  test('gives what came with the ticks, and keeps a bounded part of what was not used', () => {
    const budget = new ByteBudget({ bytesPerTick: 10, bytesMax: 25 })
    expect(budget.take(26)).toBe(false)
    expect(budget.take(25)).toBe(true)
    expect(budget.take(1)).toBe(false)
    budget.tick()
    expect(budget.take(11)).toBe(false)
    expect(budget.take(10)).toBe(true)
    for (let i = 0; i < 10; i++) budget.tick()
    expect(budget.take(26)).toBe(false)
    expect(budget.take(25)).toBe(true)
    budget.give(5)
    expect(budget.take(5)).toBe(true)
  })

  test('keeps at least what comes with one tick', () => {
    expect(new ByteBudget({ bytesPerTick: 100, bytesMax: 10 }).take(100)).toBe(true)
  })
})

describe('a gate', () => {
  test('lets in so many at a time, in order, and refuses when too many wait', async () => {
    const gate = new Gate({ roomMax: 2, waitingMax: 2 })
    const ends = Array.from({ length: 4 }, () => deferred<undefined>())
    const begun: number[] = []
    const runs = ends.map((end, i) =>
      gate.run(() => {
        begun.push(i)
        return end.promise
      }),
    )
    expect(begun).toEqual([0, 1])
    await expect(gate.run(() => Promise.resolve())).rejects.toThrow(SnapshotBusyError)
    ends[1]!.reject(new Error('it failed'))
    await expect(runs[1]).rejects.toThrow('it failed')
    expect(begun).toEqual([0, 1, 2])
    for (const end of [ends[0]!, ends[2]!, ends[3]!]) end.resolve(undefined)
    await Promise.all([runs[0], runs[2], runs[3]])
    expect(begun).toEqual([0, 1, 2, 3])
    await gate.run(() => Promise.resolve())
  })
})

describe('turns', () => {
  test('do one thing after the other for a key, whatever fails, and different keys together', async () => {
    const turns = new Turns<string>()
    const first = deferred<undefined>()
    const done: string[] = []
    const a1 = turns.run('a', () => first.promise.then(() => done.push('a1')))
    const a2 = turns.run('a', () => done.push('a2'))
    await turns.run('b', () => done.push('b'))
    expect(done).toEqual(['b'])
    first.reject(new Error('it failed'))
    await expect(a1).rejects.toThrow('it failed')
    await a2
    const failing = turns.run('c', () => {
      throw new Error('at once')
    })
    await expect(failing).rejects.toThrow('at once')
    await turns.idle()
    expect(done).toEqual(['b', 'a2'])
  })
})
