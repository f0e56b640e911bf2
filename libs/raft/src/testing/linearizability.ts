import { invariant } from '@sluice/foundation'
import type { Call } from './call.js'

export type Verdict = 'linearizable' | 'violated' | 'undecided'

/** A call's beginning, or its end; all of them in a row, by time. */
interface Point {
  readonly call: Call
  /** Position of the call among all; its bit. */
  readonly number: number
  /** Of a beginning: the end of the same call. */
  readonly end: Point | undefined
  next: Point | undefined
  previous: Point | undefined
}

/**
 * Whether some order of the calls to one register, each at one moment between its beginning and its end,
 * explains all answers. The search of Wing and Gong (1993) with the memory of Lowe (2017): what was
 * tried from the same set of calls and the same value is not tried again.
 *
 * A call whose outcome is unknown counts when another one saw what it wrote, and may have been done at
 * any time after it began. One that nobody saw is left out: every order with it is one without it.
 *
 * @param stepsMax after so many steps the answer is `undecided`
 */
export function checkRegister(calls: readonly Call[], stepsMax = 200_000): Verdict {
  const considered = relevant(calls)
  const head = pointsOf(considered)
  const tried = new Set<string>()
  const done = new Uint32Array(Math.ceil(considered.length / 32))
  const taken: { readonly point: Point; readonly value: number }[] = []
  let value = 0
  let at = head.next
  for (let step = 0; head.next !== undefined; step++) {
    if (step >= stepsMax) return 'undecided'
    invariant(at !== undefined, 'the last point of all is an end')
    if (at.end !== undefined) {
      const result = apply(at.call, value)
      if (result !== undefined) {
        flip(done, at.number)
        const key = `${done.join()}:${result}`
        if (!tried.has(key)) {
          tried.add(key)
          taken.push({ point: at, value })
          value = result
          take(at)
          at = head.next
          continue
        }
        flip(done, at.number)
      }
      at = at.next
      continue
    }
    // This call must have been done before its end: what was done last is tried in another place.
    const last = taken.pop()
    if (last === undefined) return 'violated'
    flip(done, last.point.number)
    value = last.value
    putBack(last.point)
    at = last.point.next
  }
  return 'linearizable'
}

/** The value after the call, or `undefined` when it cannot have been answered so from this one. */
function apply(call: Call, value: number): number | undefined {
  const isKnown = call.outcome === 'done'
  if (isKnown && call.previous !== value) return undefined
  if (call.kind === 'read') return value
  if (call.kind === 'write' || value === call.expected) return call.serial
  // One that is not known counts because it was seen: it did write.
  return isKnown ? value : undefined
}

/** Those that are answered, and those of the others that somebody must have seen. */
function relevant(calls: readonly Call[]): readonly Call[] {
  const seen = new Set(calls.filter(({ outcome }) => outcome === 'done').map(({ previous }) => previous))
  // A swap that was seen has itself seen what it expected.
  for (let size = -1; size !== seen.size;) {
    size = seen.size
    for (const { outcome, kind, serial, expected } of calls)
      if (outcome !== 'done' && kind === 'swap' && seen.has(serial)) seen.add(expected)
  }
  return calls.filter(({ outcome, kind, serial }) => {
    if (outcome === 'done') return true
    return outcome !== 'refused' && kind !== 'read' && seen.has(serial)
  })
}

/** What comes before all points. Beginnings come before ends of the same time. */
function pointsOf(calls: readonly Call[]): Point {
  const points: { readonly at: number; readonly point: Point }[] = []
  calls.forEach((call, number) => {
    const end: Point = { call, number, end: undefined, next: undefined, previous: undefined }
    points.push({ at: call.invokedAt, point: { ...end, end } })
    points.push({ at: call.outcome === 'done' ? call.answeredAt : Number.POSITIVE_INFINITY, point: end })
  })
  const isEnd = (point: Point): number => (point.end === undefined ? 1 : 0)
  points.sort((a, b) => (a.at === b.at ? isEnd(a.point) - isEnd(b.point) : a.at < b.at ? -1 : 1))
  const head: Point = {
    call: undefined as never,
    number: -1,
    end: undefined,
    next: undefined,
    previous: undefined,
  }
  let last = head
  for (const { point } of points) {
    last.next = point
    point.previous = last
    last = point
  }
  return head
}

function take(point: Point): void {
  unlink(point)
  unlink(point.end!)
}

function putBack(point: Point): void {
  link(point.end!)
  link(point)
}

function unlink(point: Point): void {
  point.previous!.next = point.next
  if (point.next !== undefined) point.next.previous = point.previous
}

function link(point: Point): void {
  point.previous!.next = point
  if (point.next !== undefined) point.next.previous = point
}

function flip(bits: Uint32Array, number: number): void {
  bits[number >> 5]! ^= 1 << (number & 31)
}
