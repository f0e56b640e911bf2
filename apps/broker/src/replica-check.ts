import { delay, messageOf } from '@sluice/foundation'
import type { BatchRange, RangeDigest } from '@sluice/persistence'
import type { Logger } from 'pino'
import type { PartitionReplica } from './partition-replica.js'
import type { RangeCalls } from './range-calls.js'

/** One range of a partition, compared over its replicas. */
export interface RangeCheck {
  readonly partition: string
  readonly from: number
  /** One past the last offset compared; `from` when there is nothing to compare. */
  readonly to: number
  /** Where the partition ended in the leader's database. */
  readonly end: number
  /** Brokers whose databases agree, most of all replicas; none when no majority agrees. */
  readonly same: readonly number[]
  /** Brokers whose databases have something else. */
  readonly different: readonly number[]
  /** Of those, the brokers that have what the majority has by now. */
  readonly repaired: readonly number[]
  /** Brokers that could not be compared, and why. */
  readonly unchecked: readonly { readonly broker: number; readonly reason: string }[]
}

/** A difference that was found. */
export interface CheckAlarm {
  readonly partition: string
  readonly from: number
  readonly to: number
  readonly brokers: readonly number[]
  readonly repaired: boolean
  /** Milliseconds since 1970. */
  readonly at: number
}

export interface CheckCounters {
  readonly rangesChecked: number
  readonly differences: number
  readonly repairs: number
  readonly alarms: readonly CheckAlarm[]
}

const ALARMS_MAX = 100
/** How often a replica that is behind is asked again when the caller wants to know now. */
const PATIENT_TRIES = 20
const PATIENCE_MS = 250

interface Answer {
  readonly broker: number
  readonly digest?: RangeDigest
  readonly reason?: string
  /** It may have the range in a moment. */
  readonly isBehind?: true
}

/** Compares what the replicas of a partition have in their databases, and mends what differs from the majority. */
export class ReplicaCheck {
  readonly #brokerId: number
  readonly #ranges: RangeCalls
  readonly #now: () => number
  readonly #logger: Logger
  #rangesChecked = 0
  #differences = 0
  #repairs = 0
  #alarms: CheckAlarm[] = []

  constructor(parts: {
    readonly brokerId: number
    readonly ranges: RangeCalls
    readonly now: () => number
    readonly logger: Logger
  }) {
    this.#brokerId = parts.brokerId
    this.#ranges = parts.ranges
    this.#now = parts.now
    this.#logger = parts.logger
  }

  get counters(): CheckCounters {
    return {
      rangesChecked: this.#rangesChecked,
      differences: this.#differences,
      repairs: this.#repairs,
      alarms: this.#alarms,
    }
  }

  /**
   * Compares the range that begins at `start`, or at the start of the log.
   * @param patient waits a little for replicas that are behind
   */
  async check(
    replica: PartitionReplica,
    start: number,
    { patient }: { readonly patient: boolean },
  ): Promise<RangeCheck> {
    const { groupId, name, replicas } = replica.info
    const from = Math.max(start, replica.logStart)
    const end = replica.materialisedOffset
    const nothing = { partition: name, from, end, same: [], different: [], repaired: [], unchecked: [] }
    if (from >= end) return { ...nothing, to: from }
    const to = await this.#ranges.endOf({ groupId, from, to: end })
    const range = { groupId, from, to }
    const answers = await Promise.all(replicas.map((broker) => this.#ask(broker, range, patient)))
    const found = {
      ...nothing,
      to,
      unchecked: answers.flatMap(({ broker, reason }) => (reason === undefined ? [] : [{ broker, reason }])),
    }
    const compared = answers.filter(({ digest }) => digest !== undefined)
    if (compared.length < 2) return found
    this.#rangesChecked++
    const digests = compared.map(({ digest }) => digest!.digest)
    if (new Set(digests).size === 1) return { ...found, same: compared.map(({ broker }) => broker) }
    const wanted = digests.find(
      (one) => digests.filter((other) => other === one).length > replicas.length / 2,
    )
    const same = compared.filter(({ digest }) => digest!.digest === wanted).map(({ broker }) => broker)
    const different = compared.filter(({ broker }) => !same.includes(broker)).map(({ broker }) => broker)
    const repaired =
      wanted === undefined
        ? []
        : await this.#repair(different, { ...range, digest: wanted, source: same[0]! })
    this.#alarm({ ...found, same, different, repaired })
    return { ...found, same, different, repaired }
  }

  async #ask(broker: number, range: BatchRange, patient: boolean): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#askOnce(broker, range)
      if (answer.isBehind !== true || !patient || attempt === PATIENT_TRIES) return answer
      await delay(PATIENCE_MS)
    }
  }

  async #askOnce(broker: number, range: BatchRange): Promise<Answer> {
    try {
      const digest =
        broker === this.#brokerId
          ? await this.#ranges.digest(range)
          : await this.#ranges.digestOf(broker, range)
      if (digest === undefined || digest.nextOffset < range.to)
        return {
          broker,
          reason: `behind: its database ends at ${digest?.nextOffset ?? 0}`,
          isBehind: true,
        }
      if (digest.logStart > range.from) return { broker, reason: 'part of the range was deleted meanwhile' }
      return { broker, digest }
    } catch (error) {
      return { broker, reason: messageOf(error) }
    }
  }

  async #repair(
    brokers: readonly number[],
    repair: BatchRange & { readonly digest: string; readonly source: number },
  ): Promise<readonly number[]> {
    const repaired: number[] = []
    for (const broker of brokers)
      try {
        if (broker === this.#brokerId) await this.#ranges.repair(repair)
        else await this.#ranges.repairAt(broker, repair)
        const { digest } = await this.#askOnce(broker, repair)
        if (digest?.digest === repair.digest) repaired.push(broker)
      } catch (err) {
        this.#logger.warn({ err, broker, ...repair }, 'a range could not be mended; it is tried again')
      }
    return repaired
  }

  #alarm({ partition, from, to, same, different, repaired }: RangeCheck): void {
    const isRepaired = different.length > 0 && repaired.length === different.length
    this.#differences++
    this.#repairs += repaired.length
    const alarm = { partition, from, to, brokers: different, repaired: isRepaired, at: this.#now() }
    this.#alarms = [...this.#alarms.slice(1 - ALARMS_MAX), alarm]
    this.#logger.error(
      { partition, from, to, same, different, repaired },
      isRepaired
        ? 'replicas had different messages; those that differed have what the majority has'
        : 'replicas have different messages',
    )
  }
}
