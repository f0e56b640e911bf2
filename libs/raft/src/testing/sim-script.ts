import type { Conditions } from './conditions.js'
import { type Decision, formatDecision, parseDecision, ScriptError } from './decision.js'

/** A run told by what was decided in it, in place of what a seed would decide. */
export interface SimScript {
  /** Of the delays and losses that are nobody's decision. */
  readonly seed: number
  readonly nodeCount: number
  readonly groupCount: number
  readonly conditions: Conditions
  /** From here on nothing breaks any more. Virtual milliseconds. */
  readonly healAtMs: number
  /** By time. */
  readonly decisions: readonly Decision[]
}

/** One line a decision, below three that say what the run is like. */
export function formatScript(script: SimScript): string {
  const { seed, nodeCount, groupCount, healAtMs, conditions, decisions } = script
  return [
    `seed ${seed} nodes ${nodeCount} groups ${groupCount} heal ${healAtMs}`,
    `conditions ${JSON.stringify(conditions)}`,
    ...decisions.map(formatDecision),
  ].join('\n')
}

/** @throws ScriptError */
export function parseScript(text: string): SimScript {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const head = /^seed (\d+) nodes (\d+) groups (\d+) heal ([\d.]+)$/.exec(lines[0] ?? '')
  if (head === null) throw new ScriptError('a script begins with its seed, nodes, groups and heal')
  const json = /^conditions (\{.*\})$/.exec(lines[1] ?? '')
  if (json === null) throw new ScriptError('the second line of a script are its conditions')
  const [seed, nodeCount, groupCount, healAtMs] = head.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
  ]
  return {
    seed,
    nodeCount,
    groupCount,
    healAtMs,
    conditions: JSON.parse(json[1]!) as Conditions,
    decisions: lines.slice(2).map(parseDecision),
  }
}
