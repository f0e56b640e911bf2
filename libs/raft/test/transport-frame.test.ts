import { createHash } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import fc from 'fast-check'
import { ClusterKey, transcriptOf } from '../src/transport/cluster-key.js'
import { encodeFrames, type Frame, FrameKind, FrameParser, frameSizeBytes } from '../src/transport/frame.js'
import { decodeHello, encodeHello, type Hello, HANDSHAKE_FRAME_BYTES_MAX } from '../src/transport/hello.js'
import { PriorityQueues } from '../src/transport/priority-queues.js'
import { decodeRefusal, encodeRefusal } from '../src/transport/refusal.js'
import { decodeRemoteFailure, encodeRemoteFailure } from '../src/transport/remote-failure.js'
import { RECORD_PLAIN_BYTES_MAX, RecordOpener, RecordSealer } from '../src/transport/sealed-stream.js'
import { TransportError } from '../src/transport/transport-error.js'
import { helloOf, nodeId } from './transport-fixture.js'

const MALFORMED = expect.objectContaining({ code: 'MALFORMED' })

function message(size: number, fill = 1): Frame {
  return { kind: FrameKind.MESSAGE, payload: new Uint8Array(size).fill(fill) }
}

function bytesOfFrames(frames: readonly Frame[]): Buffer {
  return Buffer.concat(encodeFrames(frames))
}

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = []
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!
    chunks.push(Uint8Array.from(bytes.subarray(at, at + size)))
    at += size
  }
  return chunks
}

function thrownBy(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

describe('frames', () => {
  test('frames come out as they went in, wherever the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 70_000 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 8 }),
        (sizes, cuts) => {
          const frames = sizes.map((size, i) => message(size, i + 1))
          const out: Frame[] = []
          const parser = new FrameParser(80_000, (frame) => out.push(frame))
          for (const chunk of cut(bytesOfFrames(frames), cuts)) parser.push(chunk)
          expect(out.map(({ kind }) => kind)).toEqual(frames.map(({ kind }) => kind))
          for (const [i, { payload }] of out.entries())
            expect(Buffer.compare(payload, frames[i]!.payload)).toBe(0)
          expect(parser.isInsideFrame).toBe(false)
        },
      ),
      { numRuns: 100 },
    )
  })

  test('a frame that was handed out is not written again by what comes later', () => {
    const out: Frame[] = []
    const parser = new FrameParser(1 << 20, (frame) => out.push(frame))
    for (const chunk of cut(bytesOfFrames([message(5000, 1), message(5000, 2), message(10, 3)]), [1500]))
      parser.push(chunk)
    const before = out.map(({ payload }) => createHash('sha256').update(payload).digest('hex'))
    for (const chunk of cut(bytesOfFrames([message(5000, 4), message(3000, 5)]), [700])) parser.push(chunk)
    const after = out.map(({ payload }) => createHash('sha256').update(payload).digest('hex'))
    expect(after.slice(0, 3)).toEqual(before)
  })

  test('every flipped bit of a frame is noticed before anything is handed out', () => {
    const bytes = bytesOfFrames([message(40)])
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Uint8Array.from(bytes)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      const parser = new FrameParser(1 << 20, () => {
        throw new Error(`bit ${bit} was not noticed`)
      })
      expect(thrownBy(() => parser.push(changed))).toEqual(MALFORMED)
    }
  })

  test('every truncation of a frame leaves the parser inside it', () => {
    const bytes = bytesOfFrames([message(40)])
    for (let length = 1; length < bytes.length; length++) {
      const parser = new FrameParser(1 << 20, () => {
        throw new Error('half a frame was handed out')
      })
      parser.push(bytes.subarray(0, length))
      expect(parser.isInsideFrame).toBe(true)
    }
  })

  test('memory grows with the bytes that arrived, not with the length that was announced', () => {
    const bytes = bytesOfFrames([message(16 * 1024 * 1024 - 12)])
    const parser = new FrameParser(16 * 1024 * 1024, () => undefined)
    parser.push(bytes.subarray(0, 12))
    expect(parser.heldBytes).toBeLessThanOrEqual(24)
    let pushed = 12
    for (let at = 12; at < 200_000; at += 1000) {
      parser.push(bytes.subarray(at, at + 1000))
      pushed += 1000
      expect(parser.heldBytes).toBeLessThanOrEqual(2 * pushed)
    }
  })

  test('a frame of exactly the bound is taken, one byte more is refused by its header alone', () => {
    const out: Frame[] = []
    const parser = new FrameParser(100, (frame) => out.push(frame))
    parser.push(bytesOfFrames([message(88)]))
    expect(out).toHaveLength(1)
    expect(frameSizeBytes(out[0]!.payload)).toBe(100)
    const header = bytesOfFrames([message(89)]).subarray(0, 12)
    expect(thrownBy(() => parser.push(header))).toEqual(MALFORMED)
  })

  test('random bytes are never a frame, and nothing but a decode error comes of them', () => {
    const random = new SeededRandom(11)
    for (let run = 0; run < 2000; run++) {
      const parser = new FrameParser(HANDSHAKE_FRAME_BYTES_MAX, () => {
        throw new Error('random bytes were taken for a frame')
      })
      const bytes = Uint8Array.from({ length: 12 + random.below(200) }, () => random.below(256))
      expect(thrownBy(() => parser.push(bytes))).toEqual(MALFORMED)
    }
  })
})

describe('hello', () => {
  const hello: Hello = {
    ...helloOf(3, 'node', 2 ** 53 - 1),
    address: 'nœud-3:7000',
    target: nodeId(2),
    hasSecret: true,
    nonce: new Uint8Array(32).fill(9),
  }

  test('a hello is read as it was written', () => {
    const read = decodeHello(encodeHello(hello))
    expect({ ...read, clusterId: [...read.clusterId], uuid: [...read.uuid], nonce: [...read.nonce] }).toEqual(
      {
        ...hello,
        clusterId: [...hello.clusterId],
        uuid: [...hello.uuid],
        nonce: [...hello.nonce],
      },
    )
    expect(encodeHello({ ...hello, address: 'x'.repeat(512) }).length).toBeLessThan(
      HANDSHAKE_FRAME_BYTES_MAX - 12,
    )
  })

  test('every truncation and every changed byte is a decode error or another well-formed hello', () => {
    const bytes = encodeHello(hello)
    for (let length = 0; length < bytes.length; length++)
      expect(thrownBy(() => decodeHello(bytes.subarray(0, length)))).toBeInstanceOf(TransportError)
    expect(thrownBy(() => decodeHello(Buffer.concat([bytes, Buffer.alloc(1)])))).toEqual(MALFORMED)
    for (let at = 0; at < bytes.length; at++)
      for (const flip of [0x01, 0x80, 0xff]) {
        const changed = Uint8Array.from(bytes)
        changed[at]! ^= flip
        const thrown = thrownBy(() => decodeHello(changed))
        if (thrown !== undefined) expect(thrown).toBeInstanceOf(TransportError)
        // Of the versions only their overlap with ours is kept.
        else expect(encodeHello(decodeHello(changed)).subarray(8)).toEqual(Buffer.from(changed.subarray(8)))
      }
  })

  test('versions that do not overlap are refused before the rest is looked at', () => {
    const newer = Buffer.from(encodeHello(hello).subarray(0, 9))
    newer.writeUInt16LE(2, 4)
    newer.writeUInt16LE(5, 6)
    expect(thrownBy(() => decodeHello(newer))).toMatchObject({ refusal: { code: 'VERSION' }, by: 'self' })
    newer.writeUInt16LE(6, 4)
    expect(thrownBy(() => decodeHello(newer))).toEqual(MALFORMED)
    const overlapping = Buffer.from(encodeHello(hello))
    overlapping.writeUInt16LE(9, 6)
    expect(decodeHello(overlapping).id).toBe(3)
  })

  test('a member without a cluster, and an administrator with an id, are not read', () => {
    for (const wrong of [
      { ...hello, clusterId: new Uint8Array(16) },
      { ...hello, id: nodeId(0) },
      { ...hello, role: 'admin' as const },
      { ...hello, address: 'a\nb' },
    ])
      expect(thrownBy(() => decodeHello(encodeHello(wrong)))).toEqual(MALFORMED)
  })

  test('a refusal is cut to its bound, and an unknown or hostile one still is a refusal', () => {
    const refusal = { code: 'NODE_REPLACED', message: 'another disk' } as const
    expect(decodeRefusal(encodeRefusal(refusal))).toEqual(refusal)
    expect(encodeRefusal({ code: 'CLOSING', message: 'ü'.repeat(5000) }).length).toBeLessThanOrEqual(513)
    expect(decodeRefusal(new Uint8Array(0))).toEqual({ code: 'NOT_ADMITTED', message: '' })
    expect(decodeRefusal(Uint8Array.of(250, 0x1b, 0x5b, 0xff)).code).toBe('NOT_ADMITTED')
    expect(decodeRefusal(Uint8Array.of(250, 0x1b, 0x5b)).message).toBe('?[')
  })

  test('a remote failure of any shape is told and read', () => {
    for (const thrown of [new Error('x'), 'text', undefined, null, { code: 5 }, { code: 'c'.repeat(500) }])
      expect(decodeRemoteFailure(encodeRemoteFailure(thrown)).code).toBe('REMOTE')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(decodeRemoteFailure(bytes).code).toBe('REMOTE')
      }),
    )
  })
})

describe('the secret', () => {
  test('a proof holds for its side, transcript, cluster and secret only', async () => {
    const cluster = new Uint8Array(16).fill(1)
    const key = await ClusterKey.derive('a long secret', cluster)
    const same = await ClusterKey.derive(new TextEncoder().encode('a long secret'), cluster)
    const transcript = transcriptOf(Uint8Array.of(1, 2), Uint8Array.of(3))
    const proof = key.proof('dialer', transcript)
    expect(same.isProof('dialer', transcript, proof)).toBe(true)
    expect(key.isProof('acceptor', transcript, proof)).toBe(false)
    expect(key.isProof('dialer', transcriptOf(Uint8Array.of(1), Uint8Array.of(2, 3)), proof)).toBe(false)
    expect(key.isProof('dialer', transcript, proof.subarray(1))).toBe(false)
    expect(key.isProof('dialer', transcript, new Uint8Array(0))).toBe(false)
    const otherCluster = await ClusterKey.derive('a long secret', new Uint8Array(16).fill(2))
    const otherSecret = await ClusterKey.derive('a long secreT', cluster)
    for (const other of [otherCluster, otherSecret])
      expect(other.isProof('dialer', transcript, proof)).toBe(false)
  })

  test('each direction of each connection has a key of its own, which both ends derive', async () => {
    const key = await ClusterKey.derive('a long secret', new Uint8Array(16).fill(1))
    const first = transcriptOf(Uint8Array.of(1), Uint8Array.of(2))
    const second = transcriptOf(Uint8Array.of(1), Uint8Array.of(3))
    const dialer = key.sessionKeys('dialer', first)
    const acceptor = key.sessionKeys('acceptor', first)
    expect([dialer.send, dialer.receive]).toEqual([acceptor.receive, acceptor.send])
    const keys = [dialer.send, dialer.receive, key.sessionKeys('dialer', second).send]
    expect(new Set(keys.map((bytes) => Buffer.from(bytes).toString('hex'))).size).toBe(3)
  })
})

describe('encrypted records', () => {
  const key = new Uint8Array(32).fill(5)

  function open(records: readonly Uint8Array[], cuts: readonly number[] = [1 << 20]): Buffer {
    const plain: Uint8Array[] = []
    const opener = new RecordOpener(key, (bytes) => plain.push(bytes))
    for (const chunk of cut(Buffer.concat(records), cuts)) opener.push(chunk)
    return Buffer.concat(plain)
  }

  test('records open in order, wherever the stream is cut, and hide what they hold', () => {
    const plain = Buffer.alloc(RECORD_PLAIN_BYTES_MAX * 2 + 77, 'secret words ')
    const records = new RecordSealer(key).seal(plain)
    expect(records).toHaveLength(3)
    expect(Buffer.concat(records).includes('secret')).toBe(false)
    for (const cuts of [[1 << 20], [1, 70_000], [5, 3, 4096]])
      expect(open(records, cuts).equals(plain)).toBe(true)
    expect(new RecordSealer(key).seal(new Uint8Array(0))).toEqual([])
  })

  test('a record that is changed, repeated, left out or moved does not open', () => {
    const sealer = new RecordSealer(key)
    const [first, second] = [sealer.seal(Buffer.from('one'))[0]!, sealer.seal(Buffer.from('two'))[0]!]
    expect(open([first, second]).toString()).toBe('onetwo')
    for (const wrong of [[second], [second, first], [first, first]])
      expect(thrownBy(() => open(wrong))).toEqual(MALFORMED)
    for (let bit = 32; bit < first.length * 8; bit++) {
      const changed = Uint8Array.from(first)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(thrownBy(() => open([changed]))).toEqual(MALFORMED)
    }
    const shortened = Uint8Array.from(first)
    shortened[0]! -= 1
    expect(thrownBy(() => open([shortened]))).toEqual(MALFORMED)
    for (const length of [0, 16, RECORD_PLAIN_BYTES_MAX + 17, 0xffff_ffff]) {
      const header = Buffer.alloc(4)
      header.writeUInt32LE(length)
      expect(thrownBy(() => open([header]))).toEqual(MALFORMED)
    }
  })
})

describe('priorities', () => {
  const bounds = { urgent: 1 << 20, normal: 64 << 20, bulk: 64 << 20 }
  const fills = { urgent: 1, normal: 2, bulk: 3 } as const

  function taken(queues: PriorityQueues, bytesMax: number): number[] {
    return queues.take(bytesMax).map(({ payload }) => payload[0]!)
  }

  test('urgent leaves before normal before bulk, each in its own order', () => {
    const queues = new PriorityQueues(bounds)
    for (const priority of ['bulk', 'normal', 'urgent', 'bulk', 'urgent', 'normal'] as const)
      queues.offer(message(10, fills[priority]), priority)
    expect(taken(queues, 1 << 20)).toEqual([1, 1, 2, 2, 3, 3])
    expect(queues.isEmpty).toBe(true)
    expect(queues.take(100)).toEqual([])
  })

  test('bulk is not starved by a flood of what goes before it', () => {
    const queues = new PriorityQueues(bounds)
    queues.offer(message(1000, 3), 'bulk')
    queues.offer(message(1000, 3), 'bulk')
    for (let i = 0; i < 40; i++) queues.offer(message(100_000, 2), 'normal')
    const order = taken(queues, 1 << 30)
    expect(order.indexOf(3)).toBe(11)
    expect(order.lastIndexOf(3)).toBe(23)
  })

  test('each priority has its bound, at which nothing more is queued', () => {
    const queues = new PriorityQueues({ urgent: 100, normal: 50, bulk: 100 })
    expect(queues.offer(message(38), 'normal')).toBe(true)
    expect(queues.offer(message(0), 'normal')).toBe(false)
    expect(queues.offer(message(88), 'urgent')).toBe(true)
    expect(queues.bytes).toEqual({ urgent: 100, normal: 50, bulk: 0 })
    queues.clear()
    expect(queues.bytes).toEqual({ urgent: 0, normal: 0, bulk: 0 })
  })

  test('what is taken at a time is bounded, but at least a frame', () => {
    const queues = new PriorityQueues(bounds)
    for (let i = 0; i < 3; i++) queues.offer(message(1000), 'normal')
    expect(queues.take(1)).toHaveLength(1)
    expect(queues.take(1500)).toHaveLength(2)
  })

  test('thousands of frames keep their order and their count of bytes', () => {
    const queues = new PriorityQueues(bounds)
    const order: number[] = []
    for (let i = 0; i < 5000; i++) {
      const payload = new Uint8Array(4)
      new DataView(payload.buffer).setUint32(0, i)
      queues.offer({ kind: FrameKind.MESSAGE, payload }, 'normal')
      if (i % 3 === 0)
        for (const frame of queues.take(17)) order.push(Buffer.from(frame.payload).readUInt32BE(0))
    }
    for (const frame of queues.take(1 << 20)) order.push(Buffer.from(frame.payload).readUInt32BE(0))
    expect(order).toEqual(Array.from({ length: 5000 }, (_, i) => i))
    expect(queues.bytes.normal).toBe(0)
  })
})
