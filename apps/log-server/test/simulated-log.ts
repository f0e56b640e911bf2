import { SeededRandom } from '@sluice/foundation'
import { LogNode, type PutOutcome, TICK_MS } from '../src/log-node.js'

interface Event {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

/** An entry, and what its client was told. */
export interface SimulatedPut {
  readonly text: string
  readonly node: number
  outcome: PutOutcome | undefined
  answeredAtMs: number
}

/** Nodes of the log in virtual time, on a network that delays and loses frames. */
export class SimulatedLog {
  readonly nodes: LogNode[] = []
  readonly puts: SimulatedPut[] = []
  /** When each node crashed for good, if it did. */
  readonly crashedAtMs: (number | undefined)[]
  readonly random: SeededRandom
  readonly failures: Error[] = []
  #events: Event[] = []
  #order = 0
  nowMs = 0

  constructor(seed: number, nodeCount: number) {
    this.random = new SeededRandom(seed)
    this.crashedAtMs = Array.from({ length: nodeCount }, () => undefined)
    const lossPart = this.random.below(3) * 0.02
    for (let id = 1; id <= nodeCount; id++) {
      const arrivals = new Map<number, number>()
      const node = new LogNode({
        nodeId: id,
        nodeCount,
        groupUuid: new Uint8Array(16).fill(seed & 255),
        boot: new Uint8Array(8).fill(id),
        random: new SeededRandom(seed * 100 + id),
        scheduler: { soon: (run) => this.after(0, run), every: () => () => undefined },
        send: (peer, frame) => {
          if (this.random.next() < lossPart) return
          // Links keep their order, as connections do.
          const atMs = Math.max(this.nowMs + this.random.next() * 5, arrivals.get(peer) ?? 0)
          arrivals.set(peer, atMs)
          this.after(atMs - this.nowMs, () => this.nodes[peer - 1]!.receive(id, frame))
        },
        onFatal: (error) => this.failures.push(error),
      })
      this.nodes.push(node)
      const offsetMs = this.random.next() * TICK_MS
      this.after(offsetMs, () => this.#tickFor(node))
    }
  }

  after(delayMs: number, run: () => void): void {
    const event = { atMs: this.nowMs + delayMs, order: this.#order++, run }
    let at = this.#events.length
    while (at > 0 && this.#isLater(this.#events[at - 1]!, event)) at--
    this.#events.splice(at, 0, event)
  }

  runUntil(untilMs: number): void {
    for (let next = this.#events[0]; next !== undefined && next.atMs <= untilMs; next = this.#events[0]) {
      this.#events.shift()
      this.nowMs = next.atMs
      next.run()
    }
    this.nowMs = untilMs
  }

  put(text: string, node: number): void {
    const put: SimulatedPut = { text, node, outcome: undefined, answeredAtMs: Infinity }
    this.puts.push(put)
    this.nodes[node - 1]!.put(Buffer.from(text), (outcome) => {
      put.outcome = outcome
      put.answeredAtMs = this.nowMs
    })
  }

  crash(node: number, done: () => void): void {
    this.nodes[node - 1]!.crash(() => {
      this.crashedAtMs[node - 1] = this.nowMs
      done()
    })
  }

  recover(node: number): void {
    this.crashedAtMs[node - 1] = undefined
    this.nodes[node - 1]!.recover(() => undefined)
  }

  log(node: number): string[] {
    return this.nodes[node - 1]!.entries.map((entry) => Buffer.from(entry).toString())
  }

  #isLater(event: Event, than: Event): boolean {
    return event.atMs > than.atMs || (event.atMs === than.atMs && event.order > than.order)
  }

  #tickFor(node: LogNode): void {
    node.tick()
    this.after(TICK_MS, () => this.#tickFor(node))
  }
}
