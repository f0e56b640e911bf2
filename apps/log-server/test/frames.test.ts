import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { FrameError, FrameReader, framed } from '../src/frame-stream.js'
import { CommandKind, decodeCommand, encodeCommand, entryId } from '../src/log-command.js'

describe('frames between nodes', () => {
  test('come out as they went in, however the connection cuts them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map(framed))
          const reader = new FrameReader()
          const read: Uint8Array[] = []
          for (let at = 0, i = 0; at < stream.length; i++) {
            const end = at + cuts[i % cuts.length]!
            read.push(...reader.push(stream.subarray(at, end)))
            at = end
          }
          expect(read).toEqual(frames)
        },
      ),
    )
  })

  test('a length over the bound is refused before anything is kept', () => {
    expect(() => new FrameReader().push(Buffer.from([255, 255, 255, 255]))).toThrow(FrameError)
  })
})

describe('commands', () => {
  const id = entryId(3, Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]), 99)

  test('come out as they went in', () => {
    const body = Buffer.from('tempor4636859')
    expect(decodeCommand(encodeCommand(CommandKind.STORE, id, body))).toEqual({
      kind: CommandKind.STORE,
      id,
      body: Uint8Array.from(body),
    })
    expect(decodeCommand(encodeCommand(CommandKind.WITHDRAW, id))).toMatchObject({
      kind: CommandKind.WITHDRAW,
      id,
    })
  })

  test('random bytes are a command or nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const command = decodeCommand(bytes)
        if (command !== undefined)
          expect(encodeCommand(command.kind, command.id, command.body)).toEqual(bytes)
      }),
    )
  })
})
