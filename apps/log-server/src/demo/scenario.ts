/** An inclusive range of seconds. */
export type Seconds = readonly [from: number, to: number]

/** What the client does to the log. */
export interface Scenario {
  readonly entryCount: number
  /** Waits between two entries; whole seconds, drawn anew each time. */
  readonly pause: Seconds
  readonly crashLasts: Seconds
  /** From a recovery to the next crash of the same thread. */
  readonly crashPause: Seconds
  crashThreads(serverCount: number): number
}

const none = (): number => 0
const one = (): number => 1
const two = (): number => 2
const minority = (serverCount: number): number => Math.floor((serverCount - 1) / 2)

/** The scenarios that clients know by their numbers, and one that hurries. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  '0': { entryCount: 20, pause: [2, 3], crashLasts: [0, 0], crashPause: [0, 0], crashThreads: none },
  '1': { entryCount: 20, pause: [2, 3], crashLasts: [5, 15], crashPause: [5, 7], crashThreads: one },
  '2': { entryCount: 100, pause: [1, 2], crashLasts: [3, 4], crashPause: [1, 2], crashThreads: one },
  '3': { entryCount: 100, pause: [2, 3], crashLasts: [5, 15], crashPause: [5, 7], crashThreads: two },
  '4': { entryCount: 100, pause: [2, 3], crashLasts: [5, 15], crashPause: [5, 7], crashThreads: minority },
  /** Entries as fast as one client can send them, and a crash every second. */
  fast: {
    entryCount: 10_000,
    pause: [0, 0],
    crashLasts: [0.5, 0.5],
    crashPause: [0.5, 0.5],
    crashThreads: one,
  },
}

/** What the client waits for the log to settle before it ends the servers. Seconds. */
export const SETTLE_SECONDS = 10
