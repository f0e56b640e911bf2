import type {
  ConsumerEvent,
  ConsumerHistory,
  Contents,
  Registration,
  SentMessage,
  StoredMessage,
} from '../src/chaos/history.js'

/** A message that was acknowledged in `t.1` at the offset of its number, one step of time after the other. */
export function sent(number: number, change: Partial<SentMessage> = {}): SentMessage {
  const lane = change.lane ?? 'a'
  return {
    lane,
    number,
    topic: 't',
    value: `${lane}#${number}`,
    sentMs: number * 10,
    unknownAttempts: 0,
    refusedAttempts: 0,
    acknowledged: { partition: 't.1', offset: number, atMs: number * 10 + 5 },
    ...change,
  }
}

export function stored(...values: readonly string[]): readonly StoredMessage[] {
  return values.map((value, offset) => ({ offset, value }))
}

/** Three brokers that hold the same, which is also what is read. */
export function contents(messages: readonly StoredMessage[], change: Partial<Contents> = {}): Contents {
  const partitions = new Map([['t.1', messages]])
  return {
    replicas: [1, 2, 3].map((brokerId) => ({ brokerId, partitions, starts: new Map() })),
    read: partitions,
    metadata: [1, 2, 3].map((brokerId) => ({
      brokerId,
      topics: ['t'],
      producers: new Map([[1, 't']]),
      consumers: new Map([[1, 't']]),
    })),
    topics: ['t'],
    ...change,
  }
}

export function consumer(ack: ConsumerHistory['ack'], events: readonly ConsumerEvent[]): ConsumerHistory {
  return { name: 'c', topic: 't', ack, isLate: false, events: [...events], end: 'nothing-left' }
}

export function delivered(offset: number, value = `a#${offset}`): ConsumerEvent {
  return { kind: 'delivered', partition: 't.1', offset, value, atMs: offset * 10 }
}

export function acknowledged(offset: number): ConsumerEvent {
  return { kind: 'acknowledged', partition: 't.1', offset }
}

export function registration(id: number, change: Partial<Registration> = {}): Registration {
  return {
    kind: 'producer',
    topic: 't',
    id,
    startedMs: id * 10,
    endedMs: id * 10 + 5,
    outcome: 'acknowledged',
    ...change,
  }
}

/** Of `t.1` what is before `start` is deleted, on every broker. */
export function trimmed(start: number, messages: readonly StoredMessage[]): Contents {
  const left = messages.filter(({ offset }) => offset >= start)
  const { replicas, ...others } = contents(left)
  return {
    ...others,
    replicas: replicas.map((replica) => ({ ...replica, starts: new Map([['t.1', start]]) })),
  }
}
