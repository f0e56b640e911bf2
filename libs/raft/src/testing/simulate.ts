import { type Clock, messageOf, systemClock } from '@sluice/foundation'
import { shrink } from './shrink.js'
import { formatScript, type SimScript } from './sim-script.js'
import { World, type WorldOptions, type WorldReport } from './world.js'

export interface SimulateOptions extends WorldOptions {
  /** How long a failing run may be made shorter. Milliseconds; 0: not at all. Default 30,000. */
  readonly shrinkMs?: number
  readonly clock?: Clock
}

/** A run that broke a law, with the ways to see it again. */
export class SimulationFailure extends Error {
  override readonly name = 'SimulationFailure'
  readonly seed: number
  /** What broke and where, on one line. */
  readonly headline: string
  /** What was decided, as little of it as was found to be enough. */
  readonly script: SimScript

  constructor(parts: {
    readonly options: WorldOptions
    readonly cause: unknown
    readonly script: SimScript
    readonly wholeCount: number
    readonly lines: readonly string[]
  }) {
    const { options, cause, script, wholeCount, lines } = parts
    const message = messageOf(cause)
    super(
      [
        `seed ${options.seed}: ${message}`,
        `replay: ${replayCommand(options)}`,
        `script of ${script.decisions.length} decisions, out of ${wholeCount}; in a file, replay it with --script FILE:`,
        formatScript(script),
        'last events:',
        ...lines,
      ].join('\n'),
      { cause },
    )
    this.seed = options.seed
    this.headline = message.split('\n')[0]!
    this.script = script
  }
}

/**
 * One run. A failing one is made shorter and told again, so that the error says how the cluster got there.
 * @throws SimulationFailure
 */
export async function simulate(options: SimulateOptions): Promise<WorldReport> {
  const world = new World(options)
  try {
    return await world.run()
  } catch (cause) {
    const script = await shorten(world.script, messageOf(cause), options)
    throw new SimulationFailure({
      options,
      cause,
      script,
      wholeCount: world.script.decisions.length,
      lines: await retell({ ...options, script }),
    })
  }
}

/** What a message says before the particulars. */
function lawOf(message: string): string {
  const [law = '', rest = ''] = message.split(': ')
  return law === 'liveness' ? `${law}: ${rest}` : law
}

function shorten(script: SimScript, message: string, options: SimulateOptions): Promise<SimScript> {
  const { shrinkMs = 30_000, clock = systemClock } = options
  const endsAt = clock.monotonic() + shrinkMs
  return shrink(script, {
    law: lawOf(message),
    isOver: () => clock.monotonic() >= endsAt,
    run: (candidate) => lawBrokenBy({ ...options, script: candidate }),
  })
}

async function lawBrokenBy(options: WorldOptions): Promise<string | undefined> {
  try {
    await new World(options).run()
    return undefined
  } catch (error) {
    return lawOf(messageOf(error))
  }
}

async function retell(options: WorldOptions): Promise<readonly string[]> {
  const world = new World({ ...options, verbose: true })
  try {
    await world.run()
    return ['the run did not fail again: something in it is not deterministic']
  } catch {
    return world.lines
  }
}

function replayCommand({
  seed,
  nodeCount = 5,
  groupCount = 3,
  eventCount = 10_000,
  sabotage,
}: WorldOptions): string {
  const more = sabotage === undefined ? '' : ` --sabotage ${sabotage}`
  return `npm run sim -w libs/raft -- --seed ${seed} --runs 1 --nodes ${nodeCount} --groups ${groupCount} --events ${eventCount}${more}`
}
