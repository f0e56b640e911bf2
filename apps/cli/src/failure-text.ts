import { messageOf } from '@sluice/foundation'
import { formatLogLine, parseLogLine } from './log-line.js'
import { ProcessStartError } from './managed-process.js'

/** What a person is told when a command fails: the reason, and what the process at fault said last. */
export function explainFailure(error: unknown): string[] {
  if (!(error instanceof ProcessStartError)) return [messageOf(error)]
  const said = error.lastLines.map((text) => {
    const line = parseLogLine(text, { time: Number.NaN, levelOfText: 40 })
    return `  ${Number.isNaN(line.time) ? text : formatLogLine(line, error.processName, false)}`
  })
  if (said.length === 0) return [`${error.message}; it wrote nothing`]
  return [`${error.message}; its last lines:`, ...said]
}
