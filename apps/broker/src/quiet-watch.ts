import type { Clock } from '@sluice/foundation'
import type { RaftGroup } from '@sluice/raft'

/** For how long groups have had no leader and brokers have not been heard, as seen from here. */
export class QuietWatch {
  readonly #clock: Clock
  #leaderless = new Map<number, number>()
  #silent = new Map<number, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** To be called every now and then. */
  observe(view: {
    readonly groups: Iterable<RaftGroup>
    readonly brokers: Iterable<number>
    readonly isConnected: (brokerId: number) => boolean
  }): void {
    const now = this.#clock.monotonic()
    const leaderless = new Map<number, number>()
    for (const { id, state } of view.groups)
      if (state.leader === 0) leaderless.set(id, this.#leaderless.get(id) ?? now)
    const silent = new Map<number, number>()
    for (const id of view.brokers) if (!view.isConnected(id)) silent.set(id, this.#silent.get(id) ?? now)
    this.#leaderless = leaderless
    this.#silent = silent
  }

  /** Milliseconds; 0 for a group that has a leader, or was not seen yet. */
  leaderlessMs(groupId: number): number {
    return this.#since(this.#leaderless.get(groupId))
  }

  /** Milliseconds; 0 for a broker that is connected, or was not looked for yet. */
  silentMs(brokerId: number): number {
    return this.#since(this.#silent.get(brokerId))
  }

  #since(begin: number | undefined): number {
    return begin === undefined ? 0 : Math.round(this.#clock.monotonic() - begin)
  }
}
