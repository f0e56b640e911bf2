import { delay } from '@sluice/foundation'
import { Api } from '../api.js'
import type { ChaosCluster } from '../chaos/chaos-cluster.js'
import type { Acknowledgement, WrongAnswer } from '../chaos/history.js'
import { type FaultSpan, longestLaneGapMs, median } from '../chaos/produce-gap.js'
import { ProducerLane } from '../chaos/producer-lane.js'
import { table } from '../chaos/report.js'
import { until } from '../local-cluster.js'
import { type DrillContext, type DrillResult, judgeMessages, withDrillCluster } from './drill.js'

/** How the leader is taken away. */
export type LeaderFault = 'kill' | 'pause'

export interface LeaderDrillOptions extends DrillContext {
  readonly fault: LeaderFault
  readonly rounds: number
  /** How long a paused leader stands still. */
  readonly pauseMs: number
}

export const MEDIAN_GOAL_MS = 2000
export const LONGEST_GOAL_MS = 4000
const TOPIC = 'gaps'
const PARTITIONS = 3
/** All streams have this key, hence one partition. */
const KEY = 'one-partition'
const STREAMS = 4
const PACE_MS = 20
const WARM_UP_MS = 2000
/**
 * A leadership may be handed back a little after everybody serves again: that belongs to the round. A broker that
 * ends sooner than 10 s after its start is taken for one that keeps failing, and started later each time.
 */
const AFTER_MS: Readonly<Record<LeaderFault, number>> = { kill: 10_500, pause: 1500 }
const BACK_LIMIT_MS = 60_000
const FINISH_LIMIT_MS = 60_000

/**
 * A steady stream to one partition, whose leader is taken away again and again. A round's gap is the longest
 * time that one of the streams went without an acknowledgement, from the fault on.
 */
export async function drillLeader(options: LeaderDrillOptions): Promise<DrillResult> {
  const { brokers, fault, rounds, say, stop } = options
  return withDrillCluster(brokers, async (cluster) => {
    const streams = await Streams.start(cluster)
    const spans: FaultSpan[] = []
    const gaps: number[] = []
    try {
      await delay(WARM_UP_MS, stop)
      for (let round = 1; round <= rounds; round++) {
        const span = await takeLeader(cluster, streams.partition, options)
        const gapMs = longestLaneGapMs(span, streams.acknowledged)
        spans.push(span)
        gaps.push(gapMs)
        say(`${fault} ${round}/${rounds}: ${span.name}, gap ${Math.round(gapMs)} ms`)
      }
      const isDone = await streams.finish()
      const violations = [
        ...(isDone ? [] : [{ check: 'recovery', detail: 'the streams did not get their last answers' }]),
        ...streams.wrongAnswers.map(({ call, status, body }) => ({
          check: 'wrong-answer',
          detail: `${call} was answered ${status} ${body.slice(0, 300)}`,
        })),
        ...(await judgeMessages(cluster, streams.sent)),
      ]
      return {
        title: fault === 'kill' ? 'The leader is killed' : 'The leader stands still',
        missed: missedGoals(fault, gaps),
        violations,
        text: tell(options, spans, gaps, streams),
      }
    } finally {
      streams.close()
    }
  })
}

export function missedGoals(fault: LeaderFault, gapsMs: readonly number[]): readonly string[] {
  const middle = median(gapsMs)
  const longest = Math.max(0, ...gapsMs)
  return [
    ...(middle < MEDIAN_GOAL_MS ? [] : [`${fault}: the median gap is ${Math.round(middle)} ms`]),
    ...(longest < LONGEST_GOAL_MS ? [] : [`${fault}: the longest gap is ${Math.round(longest)} ms`]),
  ]
}

async function takeLeader(
  cluster: ChaosCluster,
  partition: string,
  { fault, pauseMs, stop }: LeaderDrillOptions,
): Promise<FaultSpan> {
  const leader = await settledLeader(cluster, partition)
  const before = cluster.process('broker', leader)?.pid
  const fromMs = performance.now()
  let healedMs = fromMs
  if (fault === 'kill') cluster.signal('broker', leader, 'SIGKILL')
  else {
    cluster.signal('broker', leader, 'SIGSTOP')
    try {
      await delay(pauseMs, stop)
    } finally {
      cluster.signal('broker', leader, 'SIGCONT')
    }
    healedMs = performance.now()
  }
  await until(
    async () =>
      (fault === 'pause' || cluster.process('broker', leader)?.pid !== before) &&
      (await cluster.isReady('broker', leader)),
    BACK_LIMIT_MS,
    () => `broker ${leader} does not serve again`,
  )
  await delay(AFTER_MS[fault], stop)
  return { name: `broker ${leader}`, fromMs, healedMs, wholeMs: performance.now() }
}

/** The next fault comes when one broker leads and the others follow: each round is about one fault. */
async function settledLeader(cluster: ChaosCluster, partition: string): Promise<number> {
  let leader: number | undefined
  await until(
    async () => {
      const replicas = (await cluster.statuses()).flatMap((status) =>
        (status?.partitions ?? [])
          .filter(({ name }) => name === partition)
          .map(({ role }) => ({ role, brokerId: status!.brokerId })),
      )
      const leaders = replicas.filter(({ role }) => role === 'leader')
      leader = leaders[0]?.brokerId
      return leaders.length === 1 && replicas.length >= Math.min(3, cluster.brokerIds.length)
    },
    BACK_LIMIT_MS,
    () => `nobody leads ${partition}`,
  )
  return leader!
}

function tell(
  { fault, pauseMs }: LeaderDrillOptions,
  spans: readonly FaultSpan[],
  gaps: readonly number[],
  streams: Streams,
): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(2)
  const rows = spans.map(({ name, fromMs, wholeMs }, i) => [
    String(i + 1),
    name,
    seconds(wholeMs - fromMs - AFTER_MS[fault]),
    seconds(gaps[i]!),
  ])
  const what =
    fault === 'kill' ? 'killed with `kill -9`' : `stopped with \`SIGSTOP\` for ${seconds(pauseMs)} s`
  return [
    `The broker that leads the partition is ${what}, ${spans.length} times. A gap is the longest time that one of ${STREAMS} streams to the partition went without an acknowledged message.`,
    table(
      ['median gap s', 'longest gap s', 'messages acknowledged', 'attempts refused', 'attempts left open'],
      [
        [
          seconds(median(gaps)),
          seconds(Math.max(0, ...gaps)),
          String(streams.acknowledged.length),
          String(streams.sent.reduce((sum, { refusedAttempts }) => sum + refusedAttempts, 0)),
          String(streams.sent.reduce((sum, { unknownAttempts }) => sum + unknownAttempts, 0)),
        ],
      ],
    ),
    table(['round', 'leader', 'serves again after s', 'gap s'], rows),
  ].join('\n\n')
}

/** Streams of keyed messages to one partition, each of which waits for its acknowledgement before the next. */
class Streams {
  readonly partition: string
  readonly acknowledged: Acknowledgement[]
  readonly wrongAnswers: WrongAnswer[]
  readonly #api: Api
  readonly #lanes: readonly ProducerLane[]
  readonly #stop = new AbortController()
  readonly #giveUp = new AbortController()
  readonly #running: Promise<unknown>

  private constructor(parts: {
    readonly api: Api
    readonly partition: string
    readonly lanes: readonly ProducerLane[]
    readonly acknowledged: Acknowledgement[]
    readonly wrongAnswers: WrongAnswer[]
  }) {
    this.partition = parts.partition
    this.acknowledged = parts.acknowledged
    this.wrongAnswers = parts.wrongAnswers
    this.#api = parts.api
    this.#lanes = parts.lanes
    this.#running = Promise.all(parts.lanes.map((lane) => lane.run(this.#stop.signal, this.#giveUp.signal)))
  }

  static async start(cluster: ChaosCluster): Promise<Streams> {
    const api = new Api(...cluster.ports)
    await api.must('POST', '/topics', { topic_name: TOPIC, partitions: PARTITIONS })
    const producerId = await api.registerProducer(TOPIC)
    const acknowledged: Acknowledgement[] = []
    const wrongAnswers: WrongAnswer[] = []
    const lanes = Array.from({ length: STREAMS }, (_, i) => {
      const lane = `stream-${i + 1}`
      return new ProducerLane({
        api,
        name: lane,
        topic: TOPIC,
        producerId,
        messagesPerCall: 1,
        paceMs: PACE_MS,
        key: KEY,
        knownBy: 'message-id',
        onAcknowledged: (count, atMs) => acknowledged.push({ lane, atMs, count }),
        onWrongAnswer: (answer) => wrongAnswers.push(answer),
      })
    })
    // The first message tells which partition the key means.
    await lanes[0]!.runOnce(AbortSignal.timeout(BACK_LIMIT_MS))
    const partition = lanes[0]!.sent[0]!.acknowledged?.partition
    if (partition === undefined) throw new Error('the first message was not acknowledged')
    return new Streams({ api, partition, lanes, acknowledged, wrongAnswers })
  }

  get sent() {
    return this.#lanes.flatMap((lane) => lane.sent)
  }

  /** Sees what is under way through; false when that took too long. */
  async finish(): Promise<boolean> {
    const timer = setTimeout(() => this.#giveUp.abort(new Error('too late')), FINISH_LIMIT_MS)
    this.#stop.abort(new Error('the drill is over'))
    await this.#running
    clearTimeout(timer)
    return !this.#giveUp.signal.aborted
  }

  close(): void {
    this.#giveUp.abort(new Error('closed'))
    this.#stop.abort(new Error('closed'))
    this.#api.close()
  }
}
