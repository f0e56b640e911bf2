import type { RaftGroup } from '@sluice/raft'
import type { Logger } from 'pino'

export interface LogRecoveryParts {
  /** What the log has lost; undefined when nothing is missing. */
  readonly lost: string | undefined
  /** Makes the next start one like any other. */
  readonly recovered: () => Promise<void>
  readonly logger: Logger
}

/**
 * A broker whose log was damaged, or gone, has forgotten votes and acknowledgements: its groups take part again only
 * once the other brokers have told them what they may have forgotten. Until all have, every group is opened so,
 * over restarts too; only one that was made meanwhile is like any other.
 */
export class LogRecovery {
  readonly #parts: LogRecoveryParts
  #isRunning: boolean
  /** Groups from here on were made after this process was started: the lost log cannot have had anything of them. */
  #newFrom: number | undefined
  #waitingCount = -1

  constructor(parts: LogRecoveryParts) {
    this.#parts = parts
    this.#isRunning = parts.lost !== undefined
    if (parts.lost !== undefined)
      parts.logger.error(
        { lost: parts.lost },
        'the log has lost what was durable: this broker votes for nobody until the others have told it what it may have forgotten',
      )
  }

  get isRunning(): boolean {
    return this.#isRunning
  }

  /** Whether the lost log can have had anything of the group. */
  concerns(groupId: number): boolean {
    return this.#isRunning && (this.#newFrom === undefined || groupId < this.#newFrom)
  }

  /** What was lost, and how many groups wait, as far as that was looked at; undefined when nothing is missing. */
  get status(): { readonly lost: string; readonly groups: number } | undefined {
    const { lost } = this.#parts
    return this.#isRunning && lost !== undefined
      ? { lost, groups: Math.max(0, this.#waitingCount) }
      : undefined
  }

  /** @param newFrom every group that was made since this process was started has this id or a higher one */
  tellNew(newFrom: number): void {
    this.#newFrom ??= newFrom
  }

  get knowsNew(): boolean {
    return this.#newFrom !== undefined
  }

  /** To be called now and then, once every group of this broker is open that is not new. */
  async look(groups: Iterable<Pick<RaftGroup, 'isRecovering'>>): Promise<void> {
    if (!this.#isRunning || !this.knowsNew) return
    let count = 0
    for (const group of groups) if (group.isRecovering) count++
    const { logger, recovered } = this.#parts
    if (count > 0) {
      if (count !== this.#waitingCount)
        logger.warn(
          { groups: count },
          'groups wait for other brokers to tell what the lost log may have held',
        )
      this.#waitingCount = count
      return
    }
    await recovered()
    this.#isRunning = false
    logger.info('everything that the log had lost is here again')
  }
}
