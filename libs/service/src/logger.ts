import { type Logger, pino } from 'pino'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** JSON lines on standard output. An unknown level means `info`; the configuration refuses it later. */
export function createLogger(options: { readonly component: string; readonly level: string }): Logger {
  const level = LOG_LEVELS.find((known) => known === options.level) ?? 'info'
  return pino({ level, base: { component: options.component }, timestamp: pino.stdTimeFunctions.isoTime })
}
