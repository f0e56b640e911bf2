import type { CallResult } from './call-result.js'
import { ReplicatedDecodeError } from './errors.js'
import { decodeValue, encodeValue } from './value-codec.js'

export interface SessionLimits {
  /** The one that was silent for longest goes when there is one more. Default 10,000. */
  readonly sessionsMax: number
  /** A session that was silent for so long, by the leader's time, is forgotten. Milliseconds, default an hour. */
  readonly idleMsMax: number
  /** Answers kept for one session; the oldest go, and a repeated call of theirs has an expired session. Default 1000. */
  readonly answersMax: number
  /** The same in encoded bytes. Default 1 MiB. */
  readonly answerBytesMax: number
}

export const DEFAULT_SESSION_LIMITS: SessionLimits = {
  sessionsMax: 10_000,
  idleMsMax: 3_600_000,
  answersMax: 1000,
  answerBytesMax: 1024 * 1024,
}

interface Session {
  readonly id: number
  lastActiveMs: number
  /** Calls below this one are answered, or forgotten. */
  knownFrom: number
  /** Answers, encoded, by sequence. */
  readonly answers: Map<number, Uint8Array>
  answerBytes: number
}

/**
 * Calls that clients may repeat (Raft thesis §6.3): each is carried out once, and its answer kept until
 * the client has it. Part of the replicated state: what is forgotten is the same on every node, because
 * only log order and the leader's time decide it.
 */
export class SessionTable {
  readonly #limits: SessionLimits
  /** The one that was silent for longest first. */
  #sessions = new Map<number, Session>()

  constructor(limits: SessionLimits = DEFAULT_SESSION_LIMITS) {
    this.#limits = limits
  }

  get count(): number {
    return this.#sessions.size
  }

  /** @param index of the log entry that opens it: that is its id */
  open(index: number, timeMs: number): number {
    this.#expire(timeMs)
    if (this.#sessions.size >= this.#limits.sessionsMax) this.#forgetOldest()
    this.#sessions.set(index, {
      id: index,
      lastActiveMs: timeMs,
      knownFrom: 1,
      answers: new Map(),
      answerBytes: 0,
    })
    return index
  }

  /** Carries a call out, unless it was carried out before. */
  call(
    call: { readonly session: number; readonly sequence: number; readonly unansweredFrom: number },
    timeMs: number,
    run: () => CallResult,
  ): CallResult {
    this.#expire(timeMs)
    const session = this.#sessions.get(call.session)
    if (session === undefined) return { kind: 'session-expired' }
    this.#sessions.delete(session.id)
    this.#sessions.set(session.id, session)
    session.lastActiveMs = timeMs
    this.#forgetBelow(session, call.unansweredFrom)
    const known = session.answers.get(call.sequence)
    if (known !== undefined) return decodeValue(known) as CallResult
    if (call.sequence < session.knownFrom) return { kind: 'session-expired' }
    const result = run()
    this.#keep(session, call.sequence, encodeAnswer(result))
    return result
  }

  toState(): unknown {
    return [...this.#sessions.values()].map(({ id, lastActiveMs, knownFrom, answers }) => [
      id,
      lastActiveMs,
      knownFrom,
      [...answers],
    ])
  }

  /** @throws ReplicatedDecodeError; nothing has changed then */
  static fromState(state: unknown, limits: SessionLimits): SessionTable {
    const table = new SessionTable(limits)
    if (!Array.isArray(state)) throw new ReplicatedDecodeError('sessions that are no list')
    for (const item of state as readonly unknown[]) {
      if (!Array.isArray(item) || item.length !== 4) throw new ReplicatedDecodeError('a session that is none')
      const [id, lastActiveMs, knownFrom, answers] = item as [unknown, unknown, unknown, unknown]
      if (!isNatural(id) || !isNatural(lastActiveMs) || !isNatural(knownFrom) || !Array.isArray(answers))
        throw new ReplicatedDecodeError('a session that is none')
      const session: Session = { id, lastActiveMs, knownFrom, answers: new Map(), answerBytes: 0 }
      for (const [sequence, bytes] of answers as [unknown, unknown][]) {
        if (!isNatural(sequence) || !(bytes instanceof Uint8Array))
          throw new ReplicatedDecodeError('an answer that is none')
        session.answers.set(sequence, bytes)
        session.answerBytes += bytes.length
      }
      table.#sessions.set(id, session)
    }
    return table
  }

  #keep(session: Session, sequence: number, answer: Uint8Array): void {
    session.answers.set(sequence, answer)
    session.answerBytes += answer.length
    const { answersMax, answerBytesMax } = this.#limits
    while (
      session.answers.size > answersMax ||
      (session.answerBytes > answerBytesMax && session.answers.size > 1)
    ) {
      const oldest = Math.min(...session.answers.keys())
      this.#forgetBelow(session, oldest + 1)
    }
  }

  #forgetBelow(session: Session, sequence: number): void {
    if (sequence <= session.knownFrom) return
    session.knownFrom = sequence
    for (const [known, answer] of session.answers) {
      if (known >= sequence) continue
      session.answers.delete(known)
      session.answerBytes -= answer.length
    }
  }

  #expire(timeMs: number): void {
    for (const session of this.#sessions.values()) {
      if (timeMs - session.lastActiveMs < this.#limits.idleMsMax) return
      this.#sessions.delete(session.id)
    }
  }

  #forgetOldest(): void {
    for (const id of this.#sessions.keys()) {
      this.#sessions.delete(id)
      return
    }
  }
}

function encodeAnswer(result: CallResult): Uint8Array {
  try {
    return encodeValue(result)
  } catch {
    // The caller gets the value itself; who asks again learns at least that it was done.
    return encodeValue({
      kind: 'thrown',
      name: 'TypeError',
      message: 'the value of this call cannot be kept',
    })
  }
}

function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
