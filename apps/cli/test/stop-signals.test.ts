import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { ManualClock } from '@sluice/foundation/testing'
import { stopSignals } from '../src/stop-signals.js'
import { World } from './world.js'

let world: World
let source: EventEmitter & { exit: (code?: number | string | null) => never }
let done: string[]
let clock: ManualClock

beforeEach(() => {
  world = new World()
  done = []
  clock = new ManualClock()
  const exit = (code?: number | string | null): never => {
    done.push(`exit ${code ?? ''}`)
    return undefined as never
  }
  source = Object.assign(new EventEmitter(), { exit })
})

afterEach(() => world.remove())

describe('Ctrl-C', () => {
  test('stops, and kills when it comes again later', () => {
    const stop = stopSignals(source as unknown as NodeJS.Process, clock, world.terminal)
    stop.onSecond(() => done.push('killed'))
    source.emit('SIGINT')
    expect(stop.signal.aborted).toBe(true)
    clock.advance(1000)
    source.emit('SIGINT')
    expect(done).toEqual(['killed', 'exit 130'])
  })

  test('that arrives twice at once, as under npm, counts once', () => {
    const stop = stopSignals(source as unknown as NodeJS.Process, clock, world.terminal)
    stop.onSecond(() => done.push('killed'))
    source.emit('SIGINT')
    clock.advance(20)
    source.emit('SIGINT')
    expect(done).toEqual([])
  })
})
