/** Levels of pino by number. */
const levels: readonly (readonly [number, string])[] = [
  [60, 'FATAL'],
  [50, 'ERROR'],
  [40, 'WARN'],
  [30, 'INFO'],
  [20, 'DEBUG'],
  [0, 'TRACE'],
]

/** Fields every line has, or that the line shows elsewhere. */
const hidden = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'name', 'v', 'component'])
const fieldsCharactersMax = 240

export interface LogLine {
  /** Of pino: 30 is info, 40 a warning. */
  readonly level: number
  /** Milliseconds since 1970 UTC. */
  readonly time: number
  readonly message: string
  /** The other fields, as `name=value`. */
  readonly fields: string
}

/** Reads one line of a process: pino's JSON, or any text, which counts as `levelOfText`. */
export function parseLogLine(
  text: string,
  fallback: { readonly time: number; readonly levelOfText: number },
): LogLine {
  const record = text.startsWith('{') ? parseRecord(text) : undefined
  if (record === undefined)
    return { level: fallback.levelOfText, time: fallback.time, message: text, fields: '' }
  const { level, time, msg } = record
  return {
    level: typeof level === 'number' ? level : fallback.levelOfText,
    time: toTime(time) ?? fallback.time,
    message: typeof msg === 'string' ? msg : '',
    fields: describeFields(record),
  }
}

/** A line for people: time, process, level, message, fields. */
export function formatLogLine(line: LogLine, processName: string, colour: boolean): string {
  const level = (levels.find(([least]) => line.level >= least) ?? levels[levels.length - 1]!)[1]
  const paint = (code: number, text: string): string =>
    colour && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text
  const levelColour = line.level >= 50 ? 31 : line.level >= 40 ? 33 : 32
  const parts = [
    paint(2, timeOfDay(line.time)),
    processName.padEnd(15),
    paint(levelColour, level.padEnd(5)),
    line.message,
    paint(2, line.fields),
  ]
  return parts.filter((part) => part !== '').join(' ')
}

/** Local time, `14:03:07.120`. */
export function timeOfDay(time: number): string {
  const date = new Date(time)
  const two = (value: number): string => String(value).padStart(2, '0')
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')
  return `${clock}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

/** Milliseconds, or an ISO date. */
function toTime(value: unknown): number | undefined {
  const time = typeof value === 'string' ? Date.parse(value) : value
  return typeof time === 'number' && Number.isFinite(time) ? time : undefined
}

interface LogRecord extends Readonly<Record<string, unknown>> {
  readonly level?: unknown
  readonly time?: unknown
  readonly msg?: unknown
}

function parseRecord(text: string): LogRecord | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as LogRecord) : undefined
  } catch {
    return undefined
  }
}

function describeFields(record: LogRecord): string {
  const parts: string[] = []
  for (const [name, value] of Object.entries(record)) {
    if (!hidden.has(name)) parts.push(`${name}=${describeValue(value)}`)
  }
  const text = parts.join(' ')
  return text.length > fieldsCharactersMax ? `${text.slice(0, fieldsCharactersMax - 1)}…` : text
}

function describeValue(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
  if (
    typeof value === 'object' &&
    value !== null &&
    'message' in value &&
    typeof value.message === 'string'
  ) {
    // An error; its stack is in the log file.
    const code = 'code' in value && typeof value.code === 'string' ? `${value.code}: ` : ''
    return JSON.stringify(code + value.message)
  }
  return JSON.stringify(value)
}
