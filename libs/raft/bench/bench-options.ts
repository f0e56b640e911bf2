import { parseArgs } from 'node:util'

export interface BenchOptions {
  /** Undefined: all of them. */
  readonly rows: readonly string[] | undefined
  readonly seconds: number
  readonly kills: number
  readonly json: string | undefined
  readonly data: string | undefined
  readonly profile: string | undefined
  readonly help: boolean
}

export const USAGE = `usage: npm run bench -w libs/raft -- [--rows A,B] [--seconds N] [--kills N] [--json FILE] [--data DIR] [--profile DIR]

Measures the library on this machine: three nodes in processes of their own, TCP, and a log that is synced.
  --rows     these rows only, of a to i (default: all)
  --seconds  for how long each figure is measured (default 10; row e takes at least 20)
  --kills    leaders that are killed in row f (default 10)
  --json     writes the figures to a file as well
  --data     where the nodes keep their data, on the disk to measure (default: a directory for temporary files)
  --profile  writes a CPU profile of each process of the library to a directory, and prints what cost most`

/** @throws Error, with a sentence, for what cannot be understood */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: 'string' },
      seconds: { type: 'string', default: '10' },
      kills: { type: 'string', default: '10' },
      json: { type: 'string' },
      data: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  return {
    rows: values.rows?.split(','),
    seconds: within('seconds', values.seconds, { min: 0.1, max: 3600 }),
    kills: within('kills', values.kills, { min: 1, max: 10_000 }),
    json: values.json,
    data: values.data,
    profile: values.profile,
    help: values.help,
  }
}

function within(
  name: string,
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  const value = Number(text)
  if (!(value >= min && value <= max)) throw new Error(`--${name} is a number from ${min} to ${max}`)
  return value
}
