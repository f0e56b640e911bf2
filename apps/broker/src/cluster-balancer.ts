import type { Clock } from '@sluice/foundation'
import { emptied, nextAction } from '@sluice/metadata'
import type { Logger } from 'pino'
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
  readonly #logger: Logger
  /** Since when this broker has led the metadata without a break; `undefined` while it does not. */
  #leadingSince: number | undefined

  constructor(parts: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = parts.clock
    this.#logger = parts.logger
  }

  /** Called every now and then. */
  async round(metadata: MetadataReplica): Promise<void> {
    if (!metadata.serving) {
      this.#leadingSince = undefined
      return
    }
    this.#leadingSince ??= this.#clock.monotonic()
    this.#releaseVotes(metadata)
    for (let decisions = 0; decisions < DECISIONS_PER_ROUND; decisions++) {
      // Whoever was silent because the whole cluster was down has had the time to be heard by then.
      const knowsTheDead =
        this.#clock.monotonic() - this.#leadingSince > metadata.state.settings.deadAfterMs.broker
      const { voters, votersOutgoing } = metadata.group.configuration
      const action = nextAction(metadata.state, {
        now: this.#clock.now(),
        knowsTheDead,
        metadataVoters: [...voters, ...votersOutgoing],
      })
      if (action === undefined) return
      const { result } = await metadata.propose(action)
      if (action.kind !== 'step-plan')
        this.#logger.info({ decision: action.kind, result }, 'about the cluster')
      if ('error' in result) return
    }
  }

  /** A broker that has given everything away gives its vote back, and its leadership before that. */
  #releaseVotes({ group, state }: MetadataReplica): void {
    const { voters } = group.configuration
    const going = emptied(state).find(({ id }) => (voters as readonly number[]).includes(id))
    const staying = voters.filter((id) => (id as number) !== going?.id)
    if (going === undefined || staying.length === 0) return
    if ((group.state.leader as number) === going.id) {
      const heir = staying.find((id) => group.progress(id)?.recentActive === true)
      if (heir !== undefined) group.transferLeadership(heir)
      return
    }
    const { kind } = group.changeConfiguration({ voters: staying })
    this.#logger.info({ broker: going.id, outcome: kind }, 'a broker that leaves gives its vote back')
  }
}
