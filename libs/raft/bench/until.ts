import { delay } from '@sluice/foundation'

const EVERY_MS = 5
const LIMIT_MS = 60_000

/**
 * Waits for a condition.
 * @throws Error when it does not come true within a minute
 */
export async function until(condition: () => boolean | Promise<boolean>, promise: string): Promise<void> {
  const endMs = performance.now() + LIMIT_MS
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`it does not come true that ${promise}`)
    await delay(EVERY_MS)
  }
}
