import { BrokerError } from '@sluice/domain'
import { type AdmissionCheckParts, withOthers } from './admission-check.js'
import { type Founder, isFounders } from './node-identity.js'

/** Between two signs of life while others are waited for. */
const SAY_MS = 5000

export interface FoundingParts extends AdmissionCheckParts {
  readonly nodeUuid: string
}

/**
 * A founder whose directory is empty cannot know whether it has been here before: its disk may have been replaced,
 * and with it the votes that it gave and the messages that it acknowledged. So it asks all the others, however
 * long they take. Those that are as new as it is note each other's directories before any of them takes its place;
 * who has its place knows the directories of all founders, and that this is not one of them.
 *
 * @returns all founders: to be noted durably before this broker takes part in anything
 * @throws BrokerError BROKER_REFUSED when the cluster was founded with another directory; BROKER_FENCED
 */
export async function agreeOnFounders(parts: FoundingParts): Promise<readonly Founder[]> {
  const { brokerId, nodeUuid, others, logger } = parts
  return withOthers(parts, async (ask, signal) => {
    const missing = new Set(others.map(({ id }) => id))
    const timer = setInterval(() => {
      logger.warn(
        { waitingFor: [...missing] },
        'a new cluster is founded by all its brokers together: waiting for those that do not answer',
      )
    }, SAY_MS)
    try {
      const answers = await Promise.all(
        others.map(async ({ id }) => {
          const uuid = uuidOf(await ask(id, signal), { brokerId, nodeUuid })
          missing.delete(id)
          return { id, uuid }
        }),
      )
      return [{ id: brokerId, uuid: nodeUuid }, ...answers].sort((a, b) => a.id - b.id)
    } finally {
      clearInterval(timer)
    }
  })
}

/** Of another founder, once it is clear that it takes this broker for one. */
function uuidOf(info: unknown, self: Pick<FoundingParts, 'brokerId' | 'nodeUuid'>): string {
  const { nodeUuid, isPlaced, founders } = (info ?? {}) as Record<string, unknown>
  const { brokerId } = self
  // An earlier version says nothing of it, and takes its place at once.
  const isNew = isPlaced === false
  const knowsThis =
    isFounders(founders) && founders.some(({ id, uuid }) => id === brokerId && uuid === self.nodeUuid)
  if (typeof nodeUuid === 'string' && (isNew || knowsThis)) return nodeUuid
  throw new BrokerError(
    'BROKER_REFUSED',
    `broker ${brokerId} of this cluster has another data directory: give it that one back, or have broker ${brokerId} removed and add this one as a new broker, without BROKER_ID`,
    { component: 'broker', outcome: 'no' },
  )
}
