import { invariant } from '@sluice/foundation'
import type { ReplicatedMachine } from '../src/objects/replicated-machine.js'

export interface LoggedCommand {
  readonly payload: Uint8Array
  readonly timeMs: number
}

/** A machine whose commands are carried out at once, and a log of them for other machines. */
export class LocalGroup {
  readonly machine: ReplicatedMachine
  readonly log: LoggedCommand[] = []
  barriers = 0
  timeMs = 1_000_000
  /** Set: the answer to the next command is lost after it was carried out. */
  losesNextAnswer = false

  constructor(machine: ReplicatedMachine) {
    this.machine = machine
  }

  open(): this {
    this.machine.attach({
      submit: (payload, { signal } = {}) => {
        if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
        this.log.push({ payload, timeMs: this.timeMs })
        const result = applyAt(this.machine, this.log, this.log.length)
        if (!this.losesNextAnswer) return Promise.resolve(result)
        this.losesNextAnswer = false
        return Promise.reject(Object.assign(new Error('the leader is gone'), { outcome: 'unknown' }))
      },
      barrier: () => {
        this.barriers++
        return Promise.resolve()
      },
    })
    return this
  }
}

/** Carries out the command at `index`, from 1. */
export function applyAt(machine: ReplicatedMachine, log: readonly LoggedCommand[], index: number): unknown {
  const { payload, timeMs } = log[index - 1]!
  return machine.apply(payload, { index, term: 1, timeMs })
}

/** A machine that only follows. */
export function follower(machine: ReplicatedMachine): ReplicatedMachine {
  const refuse = (): Promise<never> => Promise.reject(new Error('a follower takes no calls'))
  machine.attach({ submit: refuse, barrier: refuse })
  return machine
}

export async function contentOf(machine: ReplicatedMachine): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of machine.capture().chunks()) {
    invariant(chunk.length <= 1024 * 1024, 'a chunk is small')
    parts.push(chunk)
  }
  return Buffer.concat(parts)
}

/** Bytes in pieces of this size. */
export async function* pieces(bytes: Uint8Array, size = 1000): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size))
}
