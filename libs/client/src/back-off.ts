import type { Random } from '@sluice/foundation'

const FIRST_MS = 20
const LAST_MS = 200

/** How long to wait before try `attempt` (from 1) is repeated: 20, 40, … 200 ms, each half to whole. */
export function backOffMs(attempt: number, random: Random): number {
  const whole = Math.min(FIRST_MS * 2 ** Math.min(attempt - 1, 10), LAST_MS)
  return whole / 2 + (whole / 2) * random.next()
}
