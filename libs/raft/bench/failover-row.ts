import { type Deferred, deferred, delay, invariant, SeededRandom } from '@sluice/foundation'
import type { DiskReading } from './disk-meter.js'
import type { MemberEvent } from './member-calls.js'
import { MEMBER_IDS, type MemberId, RaftCluster } from './raft-cluster.js'
import { type BenchContext, diskColumns, type Measurement, type Row } from './row.js'
import { until } from './until.js'

const MEDIAN_MS_MAX = 1500
const MAX_MS_MAX = 3000
const PAYLOAD_BYTES = 100
const IN_FLIGHT = 16
/** The leader is hit at a random moment of so long a time, to meet any phase of the others' timers. */
const QUIET_MS_MIN = 300
const QUIET_MS_RANDOM = 900
const FAILOVER_MS_MAX = 60_000

interface Blow {
  readonly what: string
  readonly notes: string
  readonly isJudged: boolean
  hit(cluster: RaftCluster, leader: MemberId): void
  heal(cluster: RaftCluster, leader: MemberId): Promise<void>
}

const KILL: Blow = {
  what: 'leader killed (-9)',
  notes: 'the kernel closes its connections',
  isJudged: true,
  hit: (cluster, leader) => cluster.member(leader).signal('SIGKILL'),
  async heal(cluster, leader) {
    await cluster.member(leader).exited
    await cluster.restart(leader)
  },
}

/** What the loss of a machine or of a cable looks like: nobody is told. */
const STOP: Blow = {
  what: 'leader falls silent (SIGSTOP)',
  notes: 'its connections stay open',
  isJudged: false,
  hit: (cluster, leader) => cluster.member(leader).signal('SIGSTOP'),
  heal(cluster, leader) {
    cluster.member(leader).signal('SIGCONT')
    return Promise.resolve()
  },
}

export const failoverRow: Row = {
  id: 'f',
  title: 'failover: from the loss of the leader to the first commit under the next',
  async run(context) {
    const test = new FailoverTest(context)
    await test.start()
    try {
      return [await test.measure(KILL), await test.measure(STOP)]
    } finally {
      await test.stop()
    }
  },
}

/** One group under a light load by clients that move to whoever leads. */
class FailoverTest {
  readonly #context: BenchContext
  readonly #random = new SeededRandom(1)
  #running: RaftCluster | undefined
  #leader: MemberId = 1
  #term = 0
  #next: Deferred<MemberEvent> = deferred()

  constructor(context: BenchContext) {
    this.#context = context
  }

  async start(): Promise<void> {
    this.#running = await RaftCluster.start(this.#context, {
      groups: 1,
      leaders: 'first',
      name: 'f',
      onEvent: (event) => this.#committed(event),
    })
    for (const id of MEMBER_IDS) await this.#serve(id)
    await this.#next.promise
  }

  async stop(): Promise<void> {
    await this.#running?.stop()
  }

  async measure(blow: Blow): Promise<Measurement> {
    const { kills } = this.#context
    const timesMs: number[] = []
    for (let i = 0; i < kills; i++) {
      await delay(QUIET_MS_MIN + this.#random.below(QUIET_MS_RANDOM))
      const ms = await this.#hit(blow)
      timesMs.push(ms)
      this.#context.say(`${blow.what}, ${i + 1} of ${kills}: ${Math.round(ms)} ms`)
    }
    return lineOf(blow, timesMs, await this.#cluster.member(this.#leader).call('disk'))
  }

  get #cluster(): RaftCluster {
    invariant(this.#running !== undefined, 'the cluster is up')
    return this.#running
  }

  async #hit(blow: Blow): Promise<number> {
    const lost = this.#leader
    this.#next = deferred()
    const startedMs = performance.now()
    blow.hit(this.#cluster, lost)
    const timeout = setTimeout(
      () =>
        this.#next.reject(new Error(`no commit within ${FAILOVER_MS_MAX} ms of the loss of node ${lost}`)),
      FAILOVER_MS_MAX,
    )
    try {
      await this.#next.promise
    } finally {
      clearTimeout(timeout)
    }
    const elapsedMs = performance.now() - startedMs
    await blow.heal(this.#cluster, lost)
    await this.#caughtUp(lost)
    return elapsedMs
  }

  #committed(event: MemberEvent): void {
    if (event.term <= this.#term) return
    this.#leader = event.id as MemberId
    this.#term = event.term
    this.#next.resolve(event)
  }

  /** The node has all that the leader had when asked, and clients for when it leads. */
  async #caughtUp(id: MemberId): Promise<void> {
    if (this.#leader !== id) {
      const { applied } = await this.#cluster.member(this.#leader).call('state')
      await until(
        async () => (await this.#cluster.member(id).call('state')).applied >= applied,
        `node ${id} catches up`,
      )
    }
    await this.#serve(id)
  }

  async #serve(id: MemberId): Promise<void> {
    await this.#cluster
      .member(id)
      .call('serveWhenLeading', { inFlight: IN_FLIGHT, payloadBytes: PAYLOAD_BYTES })
  }
}

/** @param disk of the last leader */
function lineOf(blow: Blow, timesMs: readonly number[], disk: DiskReading): Measurement {
  const sorted = [...timesMs].sort((a, b) => a - b)
  const medianMs = (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2
  const minMs = sorted[0]!
  const maxMs = sorted.at(-1)!
  return {
    row: 'f',
    what: blow.what,
    nodes: 3,
    groups: 1,
    inFlight: String(IN_FLIGHT),
    payload: `${PAYLOAD_BYTES} B`,
    fsync: true,
    result: `median ${Math.round(medianMs)} ms, min ${Math.round(minMs)}, max ${Math.round(maxMs)} of ${sorted.length}`,
    latency: undefined,
    ...diskColumns(disk),
    notes: `tick 100 ms, election after 10 to 20 ticks; ${blow.notes}`,
    target: blow.isJudged ? `median < ${MEDIAN_MS_MAX} ms, max < ${MAX_MS_MAX} ms` : undefined,
    isMet: blow.isJudged ? medianMs < MEDIAN_MS_MAX && maxMs < MAX_MS_MAX : undefined,
    figures: { medianMs, minMs, maxMs, count: sorted.length },
  }
}
