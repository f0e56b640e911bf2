import type { Clock } from '@sluice/foundation'
import { emptied, type LeaderView, type MetadataCommand, nextAction } from '@sluice/metadata'
import type { Configuration } from '@sluice/raft'
import type { Logger } from 'pino'
import { nextMembersStep } from './metadata-members.js'
import type { MetadataReplica } from './metadata-replica.js'

/** Decisions in one round; more come with the next. */
const DECISIONS_PER_ROUND = 8

/**
 * What the leader of the metadata does for the cluster as a whole: carries plans on, gives brokers that
 * come their share, and takes everything off those that leave or stay dead. It remembers nothing: another
 * leader goes on with what the metadata says.
 */
export class ClusterBalancer {
  readonly #clock: Clock
  readonly #sizes: () => Promise<ReadonlyMap<number, number>>
  readonly #logger: Logger
  /** Since when this broker has led the metadata without a break; `undefined` while it does not. */
  #leadingSince: number | undefined
  /** A configuration of the metadata group that was committed, and up to where its log was by then. */
  #seen: { readonly configuration: Configuration; readonly commit: number } | undefined

  constructor(parts: {
    readonly clock: Clock
    /** About how many bytes partitions have, by group, as far as brokers answer. */
    readonly sizes: () => Promise<ReadonlyMap<number, number>>
    readonly logger: Logger
  }) {
    this.#clock = parts.clock
    this.#sizes = parts.sizes
    this.#logger = parts.logger
  }

  /** Called every now and then. */
  async round(metadata: MetadataReplica): Promise<void> {
    if (!metadata.serving) {
      this.#leadingSince = undefined
      this.#seen = undefined
      return
    }
    this.#leadingSince ??= this.#clock.monotonic()
    // Whoever was silent because the whole cluster was down has had the time to be heard by then.
    const knowsTheDead =
      this.#clock.monotonic() - this.#leadingSince > metadata.state.settings.deadAfterMs.broker
    this.#changeMembers(metadata, knowsTheDead)
    for (let decisions = 0; decisions < DECISIONS_PER_ROUND; decisions++) {
      const action = await this.#action(metadata, knowsTheDead)
      if (action === undefined) return
      const { result } = await metadata.propose(action)
      if (action.kind !== 'step-plan')
        this.#logger.info({ decision: action.kind, result }, 'about the cluster')
      if ('error' in result) return
    }
  }

  async #action(metadata: MetadataReplica, knowsTheDead: boolean): Promise<MetadataCommand | undefined> {
    const view = (): LeaderView => {
      const { voters, votersOutgoing, learners } = metadata.group.configuration
      return {
        now: this.#clock.now(),
        knowsTheDead,
        by: `broker ${metadata.group.state.leader}`,
        metadataMembers: [...voters, ...votersOutgoing, ...learners],
      }
    }
    const action = nextAction(metadata.state, view())
    if (action?.kind !== 'start-plan') return action
    // How long its moves may take depends on what is to be copied.
    const sizes = await this.#sizes()
    return nextAction(metadata.state, { ...view(), sizes })
  }

  /** Every broker a member, up to five with a vote; who leaves, or stays dead, is replaced. */
  #changeMembers({ group, state }: MetadataReplica, knowsTheDead: boolean): void {
    const { configuration, commit, isConfigurationCommitted } = group
    const before = this.#seen
    this.#seen = isConfigurationCommitted ? { configuration, commit } : undefined
    if (before?.configuration !== configuration) return
    const members = [...configuration.voters, ...configuration.learners]
    // The leader itself has no progress.
    const caughtUp = members.filter((id) => (group.progress(id)?.match ?? commit) >= before.commit)
    const going = new Set(emptied(state).map(({ id }) => id as number))
    const step = nextMembersStep(
      {
        configuration,
        isCommitted: isConfigurationCommitted,
        leader: group.state.leader,
        caughtUp: new Set(caughtUp),
      },
      state.brokers().map(({ id }) => ({
        id,
        isFit: !knowsTheDead || state.healthCheck('broker', id)?.status === 'alive',
        isGoing: going.has(id) || state.lostBy(id) !== undefined,
      })),
    )
    if (step.kind === 'hand-over') group.transferLeadership(step.to)
    if (step.kind !== 'change') return
    const { kind } = group.changeConfiguration(step.to)
    const { voters, learners } = step.to
    this.#logger.info({ voters, learners, outcome: kind }, 'a step to other members of the metadata group')
  }
}
