export const SCENARIO_NAMES = [
  'produce',
  'consume',
  'register-producer',
  'register-consumer',
  'add-topic',
] as const
export type ScenarioName = (typeof SCENARIO_NAMES)[number]

/** What the system this one grew from was measured at, on two cores, 4 brokers, through its load balancer. */
export interface OriginalFigures {
  /** Requests per second with 60 connections: lowest and highest run. */
  readonly requestsPerSecond: readonly [number, number]
  /** p50 with one connection, milliseconds; null where it was not measured. */
  readonly p50MsAlone: number | null
  /** p99 with 60 connections, milliseconds, as text. */
  readonly p99: string | null
}

export const ORIGINAL: Readonly<Record<ScenarioName, OriginalFigures>> = {
  produce: { requestsPerSecond: [67, 98], p50MsAlone: 309, p99: '1600–2600' },
  consume: { requestsPerSecond: [45, 72], p50MsAlone: 393, p99: null },
  'register-producer': { requestsPerSecond: [291, 291], p50MsAlone: null, p99: null },
  'register-consumer': { requestsPerSecond: [88, 173], p50MsAlone: null, p99: null },
  'add-topic': { requestsPerSecond: [31, 38], p50MsAlone: null, p99: null },
}

/** The number of connections its rates were taken at. */
export const ORIGINAL_CONNECTIONS = 60
