import { invariant, SeededRandom } from '@sluice/foundation'
import { EntryKind, type NodeId, type RaftGroupId, Role } from '@sluice/raft'
import { type Core, type Log, MemoryLog, RaftCore, type RaftMessage } from './internals.js'

const VOTERS = [1, 2, 3] as readonly number[] as readonly NodeId[]
/** Logs are cut this often, so that they do not grow for ever. */
const COMPACT_ROUNDS = 256

interface Replica {
  readonly core: Core
  readonly log: Log
}

/**
 * Three cores in one process: no codec, no disk, no network. What is written is durable at once, and
 * what is sent arrives at once.
 */
export class CoreProbe {
  readonly #replicas: readonly Replica[]
  readonly #leader: Core

  constructor() {
    this.#replicas = VOTERS.map((id) => {
      const log = new MemoryLog()
      const core = new RaftCore({
        id,
        group: 1 as RaftGroupId,
        voters: VOTERS,
        random: new SeededRandom(id),
        log,
        hardState: { term: 0, vote: 0, commit: 0 },
        applied: 0,
      })
      return { core, log }
    })
    this.#leader = this.#replicas[0]!.core
    this.#leader.campaign()
    this.#settle()
    invariant(this.#leader.role === Role.LEADER, 'alone among equals, the one that campaigns leads')
  }

  /**
   * Microseconds of CPU for each proposal.
   * @param batch proposals that are made together and committed before the next ones are made
   */
  run(batch: number, forMs: number): number {
    const data = new Uint8Array(100)
    const proposals = Array.from({ length: batch }, () => ({ kind: EntryKind.COMMAND, data }))
    let rounds = 0
    const from = process.cpuUsage()
    const endMs = performance.now() + forMs
    while (performance.now() < endMs) {
      for (let i = 0; i < COMPACT_ROUNDS; i++) {
        this.#leader.propose(proposals)
        this.#settle()
        rounds++
      }
      for (const { core, log } of this.#replicas) log.compact(core.applied)
    }
    invariant(this.#leader.commit === this.#leader.applied, 'all was committed and applied')
    const { user, system } = process.cpuUsage(from)
    return (user + system) / (rounds * batch)
  }

  #settle(): void {
    for (let isBusy = true; isBusy;) {
      isBusy = false
      for (const replica of this.#replicas) {
        if (!replica.core.hasOutput()) continue
        isBusy = true
        this.#turn(replica)
      }
    }
  }

  #turn({ core, log }: Replica): void {
    const output = core.take()
    if (output.persistId > 0) log.write(output)
    for (const message of output.sendNow) this.#deliver(message, log)
    if (output.persistId > 0) core.persisted(output.persistId)
    for (const message of output.sendAfterPersist) this.#deliver(message, log)
    if (output.applyTo >= output.applyFrom) core.appliedTo(output.applyTo)
  }

  #deliver(message: RaftMessage, log: Log): void {
    const { index, count, to } = message
    // Only appends have entries that are read from the log.
    this.#replicas[to - 1]!.core.step(message, count > 0 ? log.slice(index + 1, index + count) : [])
  }
}
