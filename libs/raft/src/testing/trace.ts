import type { RaftMessage, Role } from '../core/types.js'

const LINES_MAX = 80
/** Looked up once: a test's global object is slow to ask. */
const { floor, imul, round } = Math

export interface TracedReplica {
  readonly node: number
  readonly incarnation: { readonly tag: number }
  readonly role: Role
  readonly term: number
  readonly leader: number
  readonly commit: number
  readonly applied: number
  readonly isQuiesced: boolean
  readonly log: { readonly lastIndex: number }
}

/** What happened, as a hash that two runs of one seed share, and as text when a run is told again. */
export class Trace {
  readonly lines: string[] = []
  readonly #verbose: boolean
  #high = 0x811c9dc5
  #low = 0x01000193

  constructor(verbose: boolean) {
    this.#verbose = verbose
  }

  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0')
  }

  note(atMs: number, what: string): void {
    this.#mix(round(atMs * 1000))
    for (let i = 0; i < what.length; i++) this.#mix(what.charCodeAt(i))
    if (this.#verbose) this.#tell(`${timeOf(atMs)} ${what}`)
  }

  replica(atMs: number, replica: TracedReplica): void {
    const { node, incarnation, role, term, leader, commit, applied, isQuiesced, log } = replica
    this.#mix(round(atMs * 1000))
    this.#mix(incarnation.tag * 64 + node)
    this.#mix(term * 16 + role * 2 + (isQuiesced ? 1 : 0))
    this.#mix(leader)
    this.#mix(commit)
    this.#mix(applied)
    if (!this.#verbose) return
    this.#tell(
      `${timeOf(atMs)} node ${node} group ${incarnation.tag} ${ROLES[role]} term ${term} leader ${leader}` +
        ` commit ${commit} applied ${applied} last ${log.lastIndex}${isQuiesced ? ' asleep' : ''}`,
    )
  }

  message(atMs: number, group: number, message: RaftMessage): void {
    const { kind, from, to, term, index, logTerm, commit, reject, hint, context, count } = message
    this.#mix(round(atMs * 1000))
    this.#mix(group * 4096 + from * 64 + to)
    this.#mix(kind * 2 + (reject ? 1 : 0))
    this.#mix(term)
    this.#mix(index)
    this.#mix(commit)
    this.#mix(hint * 4096 + context + count)
    if (!this.#verbose) return
    this.#tell(
      `${timeOf(atMs)} sent ${from}>${to} group ${group} ${KINDS[kind]}${reject ? ' REFUSED' : ''} term ${term}` +
        ` index ${index}/${logTerm} commit ${commit} hint ${hint} context ${context} count ${count}`,
    )
  }

  #mix(value: number): void {
    this.#high = imul(this.#high ^ (value | 0), 0x01000193) ^ (this.#low >>> 15)
    this.#low = imul(this.#low ^ (this.#high + floor(value / 0x1_0000_0000)), 0x85ebca6b)
  }

  #tell(line: string): void {
    if (this.lines.length === LINES_MAX) this.lines.shift()
    this.lines.push(line)
  }
}

const ROLES = ['follower', 'pre-candidate', 'candidate', 'LEADER', 'learner']
const KINDS = [
  '',
  'pre-vote',
  'pre-vote-response',
  'vote',
  'vote-response',
  'append',
  'append-response',
  'heartbeat',
  'heartbeat-response',
  'timeout-now',
  'read-index',
  'read-index-response',
  'recovery',
  'recovery-response',
]

function timeOf(atMs: number): string {
  return atMs.toFixed(3).padStart(10)
}
