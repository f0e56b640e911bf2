import type { Clock } from '@sluice/foundation'
import type { Terminal } from './terminal.js'

/** Ctrl-C under npm arrives twice, from the terminal and from npm; only a later one means "now". */
const secondAfterMs = 500

export interface StopSignals {
  /** Aborts at the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal
  /** What to do at a second one, before this process ends with code 130. */
  onSecond(kill: () => void): void
}

type SignalSource = Pick<NodeJS.Process, 'on' | 'exit'>

export function stopSignals(source: SignalSource, clock: Clock, terminal: Terminal): StopSignals {
  const controller = new AbortController()
  let kill = (): void => undefined
  let firstAt = 0
  const stop = (): void => {
    if (!controller.signal.aborted) {
      firstAt = clock.monotonic()
      controller.abort(new Error('asked to stop'))
      return
    }
    if (clock.monotonic() - firstAt < secondAfterMs) return
    terminal.notice('killing everything; what was acknowledged is kept')
    kill()
    source.exit(130)
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) source.on(name, stop)
  return {
    signal: controller.signal,
    onSecond: (action) => {
      kill = action
    },
  }
}
