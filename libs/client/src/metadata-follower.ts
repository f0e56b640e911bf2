import { setMaxListeners } from 'node:events'
import { decodeJson, encodeJson, RpcMethod } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { type Clock, delay, messageOf, type Random, toError } from '@sluice/foundation'
import { changesBrokers, type MetadataChanges, type MetadataCommand, MetadataState } from '@sluice/metadata'
import type { Logger } from 'pino'
import { backOffMs } from './back-off.js'
import { addressText, type BrokerAddress } from './broker-address.js'
import type { BrokerLinks } from './broker-links.js'
import { GroupLeader } from './group-leader.js'
import { parseFollowAnswer, parseProposeAnswer, parseVersionAnswer } from './metadata-answers.js'
import { SharedRun } from './shared-run.js'
import { VersionWaiters } from './version-waiters.js'

/** A broker holds the question for news so long before it answers "nothing new". */
const FOLLOW_WAIT_MS = 2000
/** While somebody here waits for a version, which may be that of an entry without news. */
const FOLLOW_HASTE_MS = 20
const FOLLOW_TIMEOUT_MS = FOLLOW_WAIT_MS + 1500
const REFRESH_TIMEOUT_MS = 5000
/**
 * While nobody here waits, a broker gathers news so long before it answers: what others have decided costs this
 * process by the second, not by the decision. Who begins to wait meanwhile waits no longer than this.
 */
const FOLLOW_GATHER_MS = 10
/** A source that lacks what the leader has had so long is left for another. */
const LAG_MS = 300

/** What has changed, in order; undefined when the state was replaced as a whole, so anything may have. */
export type MetadataListener = (changes: readonly MetadataChanges[] | undefined) => void

/**
 * A copy of the cluster's metadata, kept current by asking one broker after another for news.
 * Reading it costs nothing and may be a little old; `refresh` makes it as new as the call.
 */
export class MetadataFollower {
  readonly #seeds: readonly BrokerAddress[]
  readonly #links: BrokerLinks
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #leader: GroupLeader
  readonly #closing = new AbortController()
  readonly #waiters = new VersionWaiters()
  readonly #listeners = new Set<MetadataListener>()
  readonly #refresh = new SharedRun(() => this.#refreshNow())
  #state = new MetadataState()
  // Everything up to here is in the state; the newest may be an entry that is no command.
  #version = 0
  /** Where brokers may be: as the metadata says, and as this process was told, which may be newer. */
  #members: readonly BrokerAddress[]
  /** Which of them is asked for news. */
  #source = 0
  /** Set while the brokers write what this version does not know: the state stays behind. */
  #unsupported: BrokerError | undefined
  #polling = new AbortController()
  #following: Promise<void> | undefined

  constructor(parts: {
    readonly seeds: readonly BrokerAddress[]
    readonly links: BrokerLinks
    readonly clock: Clock
    readonly random: Random
    readonly logger: Logger
  }) {
    this.#seeds = parts.seeds
    this.#links = parts.links
    this.#clock = parts.clock
    this.#random = parts.random
    this.#logger = parts.logger
    this.#members = parts.seeds
    this.#leader = new GroupLeader(
      {
        name: 'the metadata',
        members: () => this.#membersFrom(this.#source),
        addressOf: (brokerId) => this.addressOf(brokerId),
      },
      parts,
    )
  }

  /** Never kept across an `await`: a snapshot replaces it. */
  get state(): MetadataState {
    return this.#state
  }

  get version(): number {
    return this.#version
  }

  /** True once the metadata of a running cluster is here, and as long as this version understands what comes. */
  get ready(): boolean {
    return this.#state.clusterId !== '' && this.#unsupported === undefined
  }

  start(): void {
    // Every call under way listens to it; they are bounded elsewhere.
    setMaxListeners(0, this.#closing.signal)
    this.#following ??= this.#follow()
  }

  /** Calls `listener` whenever the state has changed; the result unregisters it. */
  onChange(listener: MetadataListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  addressOf(brokerId: number): BrokerAddress | undefined {
    const broker = this.#state.broker(brokerId)
    return broker === undefined ? undefined : { id: brokerId, host: broker.host, port: broker.port }
  }

  /** Resolves once the state holds everything up to `version`. @throws BrokerError TIMEOUT, SHUTTING_DOWN */
  async awaitVersion(version: number, timeoutMs: number): Promise<void> {
    if (this.#version >= version) return
    const lagMs = Math.min(LAG_MS, timeoutMs)
    if (await this.#waiters.wait(version, lagMs, this.#closing.signal)) return
    // This source does not have it, though the leader does: it may be cut off.
    this.#polling.abort()
    if (timeoutMs > lagMs && (await this.#waiters.wait(version, timeoutMs - lagMs, this.#closing.signal)))
      return
    this.#closing.signal.throwIfAborted()
    throw new BrokerError('TIMEOUT', 'the metadata did not arrive here in time', { outcome: 'unknown' })
  }

  /**
   * Makes the state hold everything that was decided before the call. Calls share the question.
   * @throws BrokerError NO_QUORUM, TIMEOUT
   */
  refresh(): Promise<void> {
    return this.#refresh.ask()
  }

  /**
   * Has the metadata leader decide on a command; resolves once this state holds the decision.
   * `repeatable`: the command may be proposed again when an answer is lost.
   * @throws BrokerError the refusal; TIMEOUT and CONNECTION_LOST leave open whether it was decided
   */
  async propose(
    command: MetadataCommand,
    options: { readonly timeoutMs: number; readonly repeatable?: boolean },
  ): Promise<Record<string, unknown>> {
    const deadline = this.#clock.monotonic() + options.timeoutMs
    const answer = await this.callLeader(RpcMethod.META_PROPOSE, encodeJson(command), {
      timeoutMs: options.timeoutMs,
      repeatable: options.repeatable ?? false,
      kind: 'change',
    })
    const { version, result } = parseProposeAnswer(decodeJson(answer))
    await this.awaitVersion(version, Math.max(deadline - this.#clock.monotonic(), 1000))
    return result
  }

  /** Any call that the leader of the metadata answers. */
  callLeader(
    method: number,
    payload: Uint8Array,
    options: {
      readonly timeoutMs: number
      readonly repeatable: boolean
      readonly kind: 'change' | 'question'
    },
  ): Promise<Uint8Array> {
    return this.#leader.call({ method, payload, signal: this.#closing.signal, ...options })
  }

  /**
   * Any call that one broker answers for itself.
   * @throws BrokerError BROKER_NOT_FOUND, BROKER_UNREACHABLE
   */
  async callBroker(
    brokerId: number,
    method: number,
    payload: Uint8Array,
    timeoutMs: number,
  ): Promise<Uint8Array> {
    const address = this.addressOf(brokerId)
    if (address === undefined)
      throw new BrokerError('BROKER_NOT_FOUND', `broker ${brokerId} does not exist`, { field: 'broker_id' })
    try {
      return await this.#links
        .to(address)
        .request(method, payload, { timeoutMs, signal: this.#closing.signal })
    } catch (error) {
      throw new BrokerError('BROKER_UNREACHABLE', `broker ${brokerId} does not answer: ${messageOf(error)}`, {
        component: 'broker',
        cause: error,
      })
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new BrokerError('SHUTTING_DOWN', 'this process is stopping'))
    this.#polling.abort()
    await this.#following
  }

  async #refreshNow(): Promise<void> {
    const answer = await this.callLeader(RpcMethod.META_VERSION, new Uint8Array(0), {
      timeoutMs: REFRESH_TIMEOUT_MS,
      repeatable: true,
      kind: 'question',
    })
    await this.awaitVersion(parseVersionAnswer(decodeJson(answer)), REFRESH_TIMEOUT_MS)
  }

  async #follow(): Promise<void> {
    let failures = 0
    while (!this.#isClosed()) {
      this.#polling = new AbortController()
      const source = this.#members[this.#source % this.#members.length]!
      try {
        await this.#askForNews(source)
        failures = 0
        this.#unsupported = undefined
      } catch (error) {
        this.#source++
        if (this.#isClosed()) return
        // Left on purpose, for a source that is ahead.
        if (this.#polling.signal.aborted) continue
        failures++
        if (error instanceof BrokerError && error.code === 'UNSUPPORTED_VERSION') this.#refuse(error)
        this.#logger.debug({ broker: addressText(source), err: error }, 'a broker gave no metadata')
        await delay(backOffMs(failures, this.#random), this.#closing.signal).catch(() => undefined)
      }
    }
  }

  #refuse(error: BrokerError): void {
    if (this.#unsupported === undefined)
      this.#logger.error({ err: error }, 'this version is older than the cluster: start a newer one')
    this.#unsupported = error
  }

  async #askForNews(source: BrokerAddress): Promise<void> {
    const { waiting } = this.#waiters
    const question = {
      from: this.#version,
      waitMs: waiting ? FOLLOW_HASTE_MS : FOLLOW_WAIT_MS,
      gatherMs: waiting ? 0 : FOLLOW_GATHER_MS,
    }
    const bytes = await this.#links.to(source).request(RpcMethod.META_FOLLOW, encodeJson(question), {
      timeoutMs: FOLLOW_TIMEOUT_MS,
      signal: this.#polling.signal,
    })
    const { snapshot, entries, version } = parseFollowAnswer(decodeJson(bytes))
    const before = this.#state.version
    let replaced = false
    if (snapshot !== undefined) {
      const state = MetadataState.fromJSON(snapshot)
      replaced = state.version > before
      if (replaced) this.#state = state
    }
    const changes: MetadataChanges[] = []
    for (const [index, command] of entries)
      if (index > this.#state.version) changes.push(this.#state.apply(index, command).changes)
    this.#version = Math.max(this.#version, this.#state.version, version)
    if (this.#state.version > before || replaced) this.#changed(replaced ? undefined : changes)
    this.#waiters.advanced(this.#version)
  }

  #changed(changes: readonly MetadataChanges[] | undefined): void {
    if (changes?.some(changesBrokers) ?? true)
      this.#learnMembers(changes?.some(({ removedBrokers }) => removedBrokers.length > 0) ?? false)
    for (const listener of this.#listeners) listener(changes)
  }

  /**
   * The source stays the same one: it answers, while what it says of the others may be out of date. Unless a
   * broker was removed, which may be this one and would hear nothing more.
   */
  #learnMembers(isRemoval: boolean): void {
    const source = this.#members[this.#source % this.#members.length]!
    const members = new Map<string, BrokerAddress>()
    for (const { id, host, port } of this.#state.brokers())
      members.set(addressText({ host, port }), { id, host, port })
    for (const seed of this.#seeds) if (!members.has(addressText(seed))) members.set(addressText(seed), seed)
    this.#members = [...members.values()]
    this.#source = isRemoval ? 0 : Math.max(0, [...members.keys()].indexOf(addressText(source)))
    void this.#links.keepOnly(this.#members).catch((error: unknown) => {
      this.#logger.warn({ err: toError(error) }, 'a connection could not be closed')
    })
  }

  #membersFrom(first: number): readonly BrokerAddress[] {
    const at = first % this.#members.length
    return [...this.#members.slice(at), ...this.#members.slice(0, at)]
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted
  }
}
