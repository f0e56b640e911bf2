import { messageOf } from '@sluice/foundation'
import type { Logger } from 'pino'
import { ConfigError } from './env-reader.js'

export interface Service {
  /** Refuses new work, drains, closes. May be called twice. */
  stop(): Promise<void>
}

const STOP_DEADLINE_MS = 10_000

/**
 * Runs a process: starts the service, stops it on SIGTERM, SIGINT or when the parent is gone, and ends
 * with 0 when that went well. A start that fails, or an error nobody handled, ends it with 1.
 */
export async function runService(
  start: (signal: AbortSignal) => Promise<Service>,
  logger: Logger,
): Promise<void> {
  const starting = new AbortController()
  let service: Service | undefined
  const state = { stopping: false }
  const end = (code: number): void => {
    logger.flush()
    process.exit(code)
  }
  const stop = (why: string): void => {
    if (state.stopping) return
    state.stopping = true
    logger.info({ why }, 'stopping')
    starting.abort(new Error(`stopped by ${why}`))
    const deadline = setTimeout(() => {
      logger.error({ deadlineMs: STOP_DEADLINE_MS }, 'stopping took too long')
      end(1)
    }, STOP_DEADLINE_MS)
    deadline.unref()
    if (service === undefined) return
    service.stop().then(
      () => end(0),
      (err: unknown) => {
        logger.error({ err }, 'stopping failed')
        end(1)
      },
    )
  }
  process.once('SIGTERM', () => stop('SIGTERM'))
  process.once('SIGINT', () => stop('SIGINT'))
  process.once('disconnect', () => stop('the end of its parent'))
  process.on('uncaughtException', (err) => {
    logger.fatal({ err }, 'an error nobody handled')
    end(1)
  })
  process.on('unhandledRejection', (err) => {
    logger.fatal({ err }, 'a rejection nobody handled')
    end(1)
  })
  try {
    service = await start(starting.signal)
  } catch (err) {
    if (state.stopping) end(0)
    if (err instanceof ConfigError) logger.fatal({ mistakes: err.mistakes }, err.message)
    else logger.fatal({ err }, `cannot start: ${messageOf(err)}`)
    end(1)
  }
  // A signal that came while it started.
  if (state.stopping)
    await service?.stop().then(
      () => end(0),
      () => end(1),
    )
}
