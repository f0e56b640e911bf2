/** One thing that happens at a virtual time. */
export interface SimEvent {
  readonly atMs: number
  readonly sequence: number
  readonly run: () => void
}

/** Events by time; those of the same time in the order they were added. */
export class EventHeap {
  readonly #heap: SimEvent[] = []
  #sequence = 0

  peek(): SimEvent | undefined {
    return this.#heap[0]
  }

  add(atMs: number, run: () => void): void {
    const heap = this.#heap
    const event = { atMs, sequence: this.#sequence++, run }
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  pop(): SimEvent | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence)
}
