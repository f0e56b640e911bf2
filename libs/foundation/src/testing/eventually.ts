import { messageOf } from '../errors.js'

/** Awaits a condition with a limit: calls `probe` until it returns without throwing, and gives its value. */
export async function eventually<T>(probe: () => T | Promise<T>, limitMs = 10_000): Promise<T> {
  const end = performance.now() + limitMs
  for (;;) {
    try {
      return await probe()
    } catch (error) {
      if (performance.now() > end)
        throw new Error(`still failing after ${limitMs} ms: ${messageOf(error)}`, { cause: error })
    }
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
}
