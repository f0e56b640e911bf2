import { BrokerError } from '@sluice/domain'
import { messageOf } from '@sluice/foundation'

/** How it went with those messages of a call that travelled together. */
export type PartOutcome =
  | {
      readonly kind: 'stored'
      readonly partition: string
      readonly places: readonly number[]
      readonly baseOffset: number
    }
  | {
      readonly kind: 'failed'
      readonly partition: string
      readonly places: readonly number[]
      readonly error: unknown
    }

const PLACES_SHOWN_MAX = 20

/** The one error of a call whose messages were not all stored: says which are, which are not, which may be. */
export function partialFailure(outcomes: readonly PartOutcome[], messageCount: number): unknown {
  const failed = outcomes.filter((outcome) => outcome.kind === 'failed')
  const first = failed.find(({ error }) => isOpen(error)) ?? failed[0]!
  if (!(first.error instanceof BrokerError)) return first.error
  const storedCount = outcomes.reduce(
    (sum, { kind, places }) => sum + (kind === 'stored' ? places.length : 0),
    0,
  )
  const parts = outcomes.map((outcome) => {
    const which = `messages[${placesText(outcome.places)}]`
    if (outcome.kind === 'stored')
      return `${which} stored in ${outcome.partition} from offset ${outcome.baseOffset}`
    const fate = isOpen(outcome.error) ? 'may be stored' : 'not stored'
    return `${which} ${fate} in ${outcome.partition}: ${messageOf(outcome.error)}`
  })
  return new BrokerError(
    first.error.code,
    `${storedCount} of ${messageCount} messages are certainly stored; ${parts.join('; ')}`,
    {
      component: first.error.component,
      field: first.error.field,
      outcome: storedCount > 0 || failed.some(({ error }) => isOpen(error)) ? 'unknown' : 'no',
      cause: first.error,
    },
  )
}

function isOpen(error: unknown): boolean {
  return !(error instanceof BrokerError) || error.outcome === 'unknown'
}

/** `0-4,7`: runs of places, cut short when there are many. */
function placesText(places: readonly number[]): string {
  const runs: string[] = []
  for (let i = 0; i < places.length;) {
    let end = i
    while (end + 1 < places.length && places[end + 1] === places[end]! + 1) end++
    runs.push(end === i ? String(places[i]) : `${places[i]!}-${places[end]!}`)
    i = end + 1
  }
  return runs.length > PLACES_SHOWN_MAX ? `${runs.slice(0, PLACES_SHOWN_MAX).join(',')},…` : runs.join(',')
}
