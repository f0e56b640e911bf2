import type { MachineFacts } from './machine-facts.js'
import type { Measurement, Quantiles, Row } from './row.js'

const COLUMNS = [
  'row',
  'what',
  'nodes',
  'groups',
  'in flight',
  'payload',
  'fsync',
  'result',
  'p50 / p99 ms',
  'sync p50 / p99 ms',
  'entries per write',
  'target',
  'verdict',
  'notes',
] as const

/** The run as a Markdown document. */
export function markdown(
  facts: MachineFacts,
  rows: readonly Row[],
  measurements: readonly Measurement[],
): string {
  const lines = [
    ...factLines(facts),
    '',
    ...rows.map(({ id, title }) => `- **${id}** ${title}`),
    '',
    tableLine(COLUMNS),
    tableLine(COLUMNS.map(() => '---')),
    ...measurements.map((measurement) => tableLine(cellsOf(measurement))),
  ]
  return lines.join('\n')
}

function factLines(facts: MachineFacts): readonly string[] {
  const { node, cores, model, memoryBytes, system, fileSystem, idleSync, load } = facts
  return [
    `Node ${node}, ${cores} × ${model}, ${(memoryBytes / 2 ** 30).toFixed(1)} GiB, ${system}; ` +
      `load average ${load.before.toFixed(2)} before and ${load.after.toFixed(2)} after`,
    `Data on ${fileSystem}; 4 KiB write and fdatasync with nothing else going on: p50 / p99 ${quantiles(idleSync)} ms before the run`,
    'All nodes on this machine, loopback TCP, no TLS and no secret; clients in the process of the leader, a proposal for each command.',
  ]
}

function cellsOf(measurement: Measurement): readonly string[] {
  const { groups, latency, sync, target, isMet } = measurement
  return [
    measurement.row,
    measurement.what,
    String(measurement.nodes),
    groups === undefined ? '–' : String(groups),
    measurement.inFlight,
    measurement.payload,
    measurement.fsync ? 'on' : '–',
    measurement.result,
    quantiles(latency),
    quantiles(sync),
    measurement.batches,
    target ?? '–',
    isMet === undefined ? '–' : isMet ? 'met' : '**missed**',
    measurement.notes,
  ]
}

function quantiles(of: Quantiles | undefined): string {
  return of === undefined ? '–' : `${milliseconds(of.p50Ms)} / ${milliseconds(of.p99Ms)}`
}

function milliseconds(ms: number): string {
  return Number.isNaN(ms) ? '–' : ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)
}

function tableLine(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}
