import { groupBy } from './grouping.js'
import type { Acknowledgement, History, Violation } from './history.js'
import { type FaultSpan, longestGapMs, longestLaneGapMs, median } from './produce-gap.js'

export interface RunSettings {
  readonly minutes: number
  readonly seed: number
  readonly brokers: number
  /** As given on the command line; empty for all. */
  readonly faults: string
  /** Empty for the code as it is. */
  readonly mutant: string
}

/** Everything about a run that is told. */
export interface RunResult {
  readonly settings: RunSettings
  readonly startedMs: number
  readonly endedMs: number
  readonly spans: readonly FaultSpan[]
  readonly acknowledged: readonly Acknowledgement[]
  readonly history: History
  readonly violations: readonly Violation[]
  /** What faults did, what was left out and why. */
  readonly notes: readonly string[]
}

const SHOWN_MAX = 10

/** The command that plays the same schedule again. */
export function replayCommand({ minutes, seed, brokers, faults, mutant }: RunSettings): string {
  const words = ['npm run test:chaos --', `--minutes ${minutes}`, `--seed ${seed}`, `--brokers ${brokers}`]
  if (faults !== '') words.push(`--faults ${faults}`)
  if (mutant !== '') words.push(`--mutant ${mutant}`)
  return words.join(' ')
}

/** What matters of a run in a few lines. */
export function verdictOf({ settings, violations, acknowledged, history, spans }: RunResult): string {
  const messages = acknowledged.reduce((total, { count }) => total + count, 0)
  const said =
    `${spans.length} episodes of faults, ${messages} messages acknowledged, ` +
    `${history.registrations.filter(({ outcome }) => outcome === 'acknowledged').length} registrations`
  if (violations.length === 0) return `Chaos run, seed ${settings.seed}: every promise was kept (${said})`
  const shown = violations.slice(0, SHOWN_MAX).map(({ check, detail }) => `${check}: ${detail.slice(0, 500)}`)
  const more = violations.length > SHOWN_MAX ? ['…'] : []
  return [
    `Chaos run, seed ${settings.seed}: ${violations.length} violations (${said})`,
    ...shown,
    ...more,
  ].join('\n')
}

/** @param picture name of the timeline's file, beside the report */
export function writeReport(result: RunResult, picture: string | undefined): string {
  const { settings, violations, notes } = result
  const verdict = violations.length === 0 ? 'every promise was kept' : `**${violations.length} violations**`
  const sections = [
    `# Chaos run, seed ${settings.seed}: ${verdict}`,
    `\`\`\`sh\n${replayCommand(settings)}\n\`\`\``,
    violations.length === 0
      ? ''
      : `## Violations\n\n${violations.map(({ check, detail }) => `- \`${check}\`: ${detail}`).join('\n')}`,
    `## What was done\n\n${table(['what', 'count'], countsOf(result))}`,
    picture === undefined ? '' : `![messages acknowledged per second, with the faults](${picture})`,
    `## Faults\n\nGaps are the longest times without a successful produce, from the fault until every process served again: of all producers together, and of the one stream that waited longest.\n\n${faultTable(result)}`,
    `## By fault\n\n${gapTable(result)}`,
    notes.length === 0 ? '' : `## Notes\n\n${notes.map((note) => `- ${note}`).join('\n')}`,
  ]
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`
}

function countsOf({ history, acknowledged, startedMs, endedMs }: RunResult): string[][] {
  const { sent, consumers, registrations } = history
  const sum = (of: (message: History['sent'][number]) => number): number =>
    sent.reduce((total, message) => total + of(message), 0)
  const messages = acknowledged.reduce((total, { count }) => total + count, 0)
  const seconds = (endedMs - startedMs) / 1000
  return [
    ['seconds of load', seconds.toFixed(0)],
    ['messages acknowledged', `${messages}, ${(messages / seconds).toFixed(0)}/s`],
    [
      'messages never acknowledged',
      String(sent.filter((message) => message.acknowledged === undefined).length),
    ],
    ['attempts refused with nothing changed', String(sum((message) => message.refusedAttempts))],
    ['attempts whose outcome was left open', String(sum((message) => message.unknownAttempts))],
    [
      'deliveries',
      String(
        consumers.reduce(
          (total, { events }) => total + events.filter(({ kind }) => kind === 'delivered').length,
          0,
        ),
      ),
    ],
    [
      'registrations acknowledged',
      String(registrations.filter(({ outcome }) => outcome === 'acknowledged').length),
    ],
  ]
}

function faultTable(result: RunResult): string {
  const times = result.acknowledged.map(({ atMs }) => atMs)
  const rows = result.spans.map((span) => [
    ((span.fromMs - result.startedMs) / 1000).toFixed(1),
    span.name,
    ((span.healedMs - span.fromMs) / 1000).toFixed(1),
    ((span.wholeMs - span.healedMs) / 1000).toFixed(1),
    (longestGapMs(span, times) / 1000).toFixed(2),
    (longestLaneGapMs(span, result.acknowledged) / 1000).toFixed(2),
  ])
  return table(['at s', 'faults', 'held s', 'whole again after s', 'gap of all s', 'gap of one s'], rows)
}

function gapTable({ spans, acknowledged }: RunResult): string {
  // Which brokers it was does not matter here.
  const groups = groupBy(spans, ({ name }) => name.replaceAll(/ [\d,]+/g, ''))
  const rows = Array.from(groups, ([kinds, group]) => {
    const gaps = group.map((span) => longestLaneGapMs(span, acknowledged) / 1000)
    return [kinds, String(gaps.length), median(gaps).toFixed(2), Math.max(...gaps).toFixed(2)]
  })
  return table(['faults', 'times', 'median gap of one s', 'longest s'], rows)
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
