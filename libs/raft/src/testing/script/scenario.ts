import { toError } from '@sluice/foundation'
import { CommandLine } from './command-line.js'
import { ScenarioError } from './scenario-error.js'
import { ScriptWorld } from './script-world.js'
import { VIEW_COMMANDS } from './view-commands.js'
import { WORLD_COMMANDS } from './world-commands.js'

const RULE = '----'
const NOTHING = 'ok'
const QUIETLY = 'quietly '

/**
 * Plays a scenario and returns its text with what the commands print now: the same text when all is as
 * it was written down. It consists of blocks, which one world lives through from the first to the last:
 *
 *     # Comments, and empty lines.
 *     propose 1 x
 *     turn 1
 *     ----
 *     1 accepts 2/1
 *     1 writes term=1 vote=1 commit=1 [2/1 "x"]
 *
 * An output ends with an empty line; `ok` stands for none. What a command after `quietly` prints is left
 * out. In the output a line begins with the node that tells it, and messages stand where they are sent:
 *
 *     1->2 APPEND term=2 prev=5/1 commit=4 [6/2 "x"]
 *
 * An entry is written `index/term`. Before `persist` nothing is durable that was written, and what must
 * wait for it has not been sent; `stabilize` syncs all the time.
 *
 * @throws ScenarioError for a command that cannot be carried out, with its line
 */
export function playScenario(text: string): string {
  const world = new ScriptWorld()
  const lines = text.split('\n')
  const played: string[] = []
  let commands: string[] = []
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!
    played.push(line)
    if (line === RULE) {
      const printed = commands.flatMap((one) => run(world, one, i + 1))
      played.push(...(printed.length > 0 ? printed : [NOTHING]))
      commands = []
      while (i + 1 < lines.length && lines[i + 1] !== '') i++
    } else if (line !== '' && !line.startsWith('#')) {
      commands.push(line)
    }
  }
  if (commands.length > 0) throw new ScenarioError(`“${commands.join('; ')}” has no ${RULE} under it`)
  return played.join('\n')
}

function run(world: ScriptWorld, text: string, lineNumber: number): readonly string[] {
  try {
    const isQuiet = text.startsWith(QUIETLY)
    const line = new CommandLine(isQuiet ? text.slice(QUIETLY.length) : text)
    const command = WORLD_COMMANDS.get(line.name) ?? VIEW_COMMANDS.get(line.name)
    if (command === undefined) throw new ScenarioError(`there is no command ${line.name}`)
    command(world, line)
    line.end()
    const printed = world.takeLines()
    return isQuiet ? [] : printed
  } catch (error) {
    throw new ScenarioError(`“${text}” (before line ${lineNumber}): ${toError(error).message}`, {
      cause: error,
    })
  }
}
