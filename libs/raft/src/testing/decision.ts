/**
 * Everything that is decided from outside while a simulation runs, with its parameters; all of them are
 * numbers, so that a decision is a line of text. Nodes and groups are named by id; `node` 0 of a client's
 * call is whoever is thought to lead. A mask has bit `id - 1` set for a node. Times in milliseconds.
 */
const FIELDS = {
  // Clients. The key is one of a group's registers, `size` of a command in bytes.
  write: ['group', 'node', 'key', 'count', 'size'],
  swap: ['group', 'node', 'key'],
  read: ['group', 'node', 'key'],
  // Operators; a change of members goes to whoever leads.
  transfer: ['group', 'to'],
  campaign: ['group', 'node'],
  addVoter: ['group', 'node'],
  addLearner: ['group', 'node'],
  addPromotable: ['group', 'node'],
  remove: ['group', 'node'],
  demote: ['group', 'node'],
  members: ['group', 'voters', 'learners'],
  checkpoint: ['group', 'node'],
  compact: ['group', 'node', 'keep'],
  reopen: ['group', 'node', 'ms'],
  recreate: ['group', 'voters', 'learners', 'ms'],
  // Processes. `kept` is the part of what was not synced that survives, in thousandths.
  crash: ['node', 'ms', 'kept'],
  crashInTurn: ['node', 'sends', 'ms', 'kept'],
  crashAll: ['ms', 'kept'],
  stop: ['node', 'ms'],
  destroy: ['node', 'joint'],
  // The log is gone after the restart, what was synced too; with `machine` 1 the machine's own state is not.
  loseLog: ['node', 'ms', 'machine'],
  pause: ['node', 'ms', 'ticksFirst'],
  clock: ['node', 'percent'],
  diskStall: ['node', 'ms'],
  // Links. `direction` 0 is both, 1 is in, 2 is out.
  cut: ['from', 'to', 'ms'],
  isolate: ['node', 'direction', 'ms'],
  split: ['mask', 'ms'],
  bridge: ['node', 'mask', 'ms'],
  reset: ['from', 'to', 'notices'],
  replay: ['from', 'to', 'count'],
  corrupt: ['from', 'to', 'at', 'value'],
} as const

export type DecisionKind = keyof typeof FIELDS

/** The parameters of one kind. */
export type DecisionOf<K extends DecisionKind> = { readonly atMs: number; readonly kind: K } & {
  readonly [F in (typeof FIELDS)[K][number]]: number
}

/** One line of a script: at this virtual time, this is done. */
export type Decision = { [K in DecisionKind]: DecisionOf<K> }[DecisionKind]

/** A text that is no decision. */
export class ScriptError extends Error {
  override readonly name = 'ScriptError'
}

/** `812.25 crash node=2 ms=120 kept=300` */
export function formatDecision(decision: Decision): string {
  const values = new Map<string, unknown>(Object.entries(decision))
  const fields = FIELDS[decision.kind].map((field) => `${field}=${String(values.get(field))}`)
  return [String(decision.atMs), decision.kind, ...fields].join(' ')
}

/** @throws ScriptError */
export function parseDecision(line: string): Decision {
  const [at = '', kind = '', ...rest] = line.trim().split(/\s+/)
  if (!isDecisionKind(kind)) throw new ScriptError(`no such decision: ${line}`)
  const fields: readonly string[] = FIELDS[kind]
  const given = rest.map((part) => part.split('='))
  if (given.length !== fields.length || given.some(([name], i) => name !== fields[i]))
    throw new ScriptError(`${kind} has the fields ${fields.join(', ')}: ${line}`)
  const numbers = [at, ...given.map(([, value = '']) => value)].map(Number)
  if (numbers.some((number) => !Number.isFinite(number) || number < 0))
    throw new ScriptError(`fields are natural numbers: ${line}`)
  const parsed = { atMs: numbers[0], kind, ...Object.fromEntries(fields.map((f, i) => [f, numbers[i + 1]])) }
  return parsed as unknown as Decision
}

function isDecisionKind(text: string): text is DecisionKind {
  return Object.hasOwn(FIELDS, text)
}
