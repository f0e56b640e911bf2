import type { Acknowledgement } from './history.js'
import type { FaultSpan } from './produce-gap.js'

export interface TimelineData {
  readonly title: string
  readonly startedMs: number
  readonly endedMs: number
  readonly acknowledged: readonly Pick<Acknowledgement, 'atMs' | 'count'>[]
  readonly spans: readonly FaultSpan[]
}

const WIDTH = 1200
const HEIGHT = 360
const LEFT = 60
const RIGHT = 20
const TOP = 130
const BOTTOM = 40
/** Rows for the names of faults, used in turn so that neighbours do not cover each other. */
const NAME_ROWS = 5
const BUCKET_MS_MIN = 250
const BUCKETS_MAX = 600

/** An SVG picture of the messages acknowledged per second, with the faults behind it. */
export function drawTimeline({ title, startedMs, endedMs, acknowledged, spans }: TimelineData): string {
  const durationMs = Math.max(1, endedMs - startedMs)
  const bucketMs = Math.max(BUCKET_MS_MIN, durationMs / BUCKETS_MAX)
  const rates = ratesOf(acknowledged, startedMs, durationMs, bucketMs)
  const top = niceCeiling(Math.max(10, ...rates))
  const x = (atMs: number): number =>
    LEFT + (Math.min(Math.max(atMs - startedMs, 0), durationMs) / durationMs) * (WIDTH - LEFT - RIGHT)
  const y = (rate: number): number => HEIGHT - BOTTOM - (rate / top) * (HEIGHT - TOP - BOTTOM)
  const line = rates.map((rate, i) => `${fixed(x(startedMs + (i + 0.5) * bucketMs))},${fixed(y(rate))}`)
  const faults = spans.map((span, i) => drawSpan(span, i, x))
  const seconds = Math.ceil(durationMs / 1000)
  const step = niceCeiling(seconds / 12)
  const ticks = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, i) => i * step).map(
    (second) =>
      `<text class="axis" x="${fixed(x(startedMs + second * 1000))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${second} s</text>`,
  )
  const levels = [0, top / 2, top].map(
    (rate) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(y(rate))}" y2="${fixed(y(rate))}"/>` +
      `<text class="axis" x="${LEFT - 6}" y="${fixed(y(rate) + 4)}" text-anchor="end">${rate}</text>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11">
<style>.hold{fill:#e4572e;opacity:.28}.recovery{fill:#f3a712;opacity:.22}.rate{fill:none;stroke:#1b4965;stroke-width:1.5}.grid{stroke:#ccc}.axis{fill:#555}.name{fill:#7a1f0a}</style>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text x="${LEFT}" y="18" font-size="14">${escaped(title)}</text>
<text class="axis" x="${LEFT}" y="36">messages acknowledged per second; red: faults hold, yellow: until every process serves again</text>
${faults.join('\n')}
${levels.join('\n')}
${ticks.join('\n')}
<polyline class="rate" points="${line.join(' ')}"/>
</svg>
`
}

function drawSpan(
  { name, fromMs, healedMs, wholeMs }: FaultSpan,
  i: number,
  x: (atMs: number) => number,
): string {
  const height = HEIGHT - TOP - BOTTOM
  const box = (kind: string, from: number, to: number): string =>
    `<rect class="${kind}" x="${fixed(x(from))}" y="${TOP}" width="${fixed(Math.max(1, x(to) - x(from)))}" height="${height}"/>`
  const nameY = 56 + (i % NAME_ROWS) * 15
  return (
    `<g>${box('hold', fromMs, healedMs)}${box('recovery', healedMs, wholeMs)}` +
    `<line class="grid" x1="${fixed(x(fromMs))}" x2="${fixed(x(fromMs))}" y1="${nameY + 2}" y2="${TOP}"/>` +
    `<text class="name" x="${fixed(x(fromMs))}" y="${nameY}">${escaped(name)}</text></g>`
  )
}

function ratesOf(
  acknowledged: TimelineData['acknowledged'],
  startedMs: number,
  durationMs: number,
  bucketMs: number,
): readonly number[] {
  const counts = new Array<number>(Math.ceil(durationMs / bucketMs)).fill(0)
  for (const { atMs, count } of acknowledged) {
    const bucket = Math.floor((atMs - startedMs) / bucketMs)
    if (bucket >= 0 && bucket < counts.length) counts[bucket]! += count
  }
  return counts.map((count) => (count * 1000) / bucketMs)
}

/** 1, 2 or 5 times a power of ten, at least the value. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)))
  return [1, 2, 5, 10].map((factor) => factor * power).find((nice) => nice >= value)!
}

function fixed(value: number): string {
  return value.toFixed(1)
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
