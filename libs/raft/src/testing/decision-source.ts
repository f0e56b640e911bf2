import { type Random, unreachable } from '@sluice/foundation'
import { type Conditions, isOperation } from './conditions.js'
import type { Decision, DecisionKind, DecisionOf } from './decision.js'
import { KEYS } from './sim-state.js'

/** What may be decided about. */
export interface Choices {
  /** Nodes that are not gone for ever. */
  readonly nodes: readonly number[]
  readonly groups: readonly number[]
}

type ClientKind = 'write' | 'swap' | 'read'
type Unplaced = { [K in DecisionKind]: Omit<DecisionOf<K>, 'atMs'> }[DecisionKind]

type Drawn = Exclude<DecisionKind, ClientKind>

/** Kinds with what their weights and those before them add up to. */
type Lottery = readonly { readonly kind: Drawn; readonly upTo: number }[]

/** Decides what happens next, by chance alone. */
export class DecisionSource {
  readonly #random: Random
  readonly #conditions: Conditions
  readonly #operations: Lottery
  readonly #faults: Lottery

  constructor(random: Random, conditions: Conditions) {
    this.#random = random
    this.#conditions = conditions
    this.#operations = lotteryOf(conditions, isOperation)
    this.#faults = lotteryOf(conditions, (kind) => !isOperation(kind))
  }

  /** Milliseconds until the next call of a client. */
  untilCall(): number {
    return this.#random.next() * 2 * this.#conditions.callEveryMs
  }

  /** Milliseconds until the next operation of those who run the cluster. */
  untilOperation(): number {
    return this.#random.next() * 2 * this.#conditions.operateEveryMs
  }

  /** Milliseconds until the next fault. */
  untilFault(): number {
    return this.#random.next() * 2 * this.#conditions.faultEveryMs
  }

  call(atMs: number, choices: Choices): Decision {
    const random = this.#random
    const group = this.#one(choices.groups)
    const key = random.below(KEYS)
    // Clients mostly know who leads.
    const node = random.below(6) === 0 ? this.#one(choices.nodes) : 0
    switch (random.below(5)) {
      case 0:
      case 1:
        return {
          atMs,
          kind: 'read',
          group,
          key,
          node: random.below(3) === 0 ? this.#one(choices.nodes) : node,
        }
      case 2:
        return { atMs, kind: 'swap', group, node, key }
      default:
        return { atMs, kind: 'write', group, node, key, count: 1 + random.below(4), size: random.below(120) }
    }
  }

  /** `undefined` in a run without any. */
  operation(atMs: number, choices: Choices): Decision | undefined {
    return this.#drawFrom(this.#operations, atMs, choices)
  }

  /** `undefined` in a run where nothing breaks. */
  fault(atMs: number, choices: Choices): Decision | undefined {
    return this.#drawFrom(this.#faults, atMs, choices)
  }

  #drawFrom(lottery: Lottery, atMs: number, choices: Choices): Decision | undefined {
    const last = lottery.at(-1)
    if (last === undefined) return undefined
    const drawn = this.#random.next() * last.upTo
    const { kind } = lottery.find(({ upTo }) => drawn < upTo)!
    return { atMs, ...this.#draw(kind, choices) }
  }

  #draw(kind: Drawn, choices: Choices): Unplaced {
    const group = this.#one(choices.groups)
    const node = this.#one(choices.nodes)
    const other = this.#one(choices.nodes)
    const mask = (): number => this.#mask(choices)
    switch (kind) {
      case 'transfer':
        return { kind, group, to: node }
      case 'campaign':
      case 'addVoter':
      case 'addLearner':
      case 'addPromotable':
      case 'remove':
      case 'demote':
      case 'checkpoint':
        return { kind, group, node }
      case 'members':
        return { kind, group, voters: mask(), learners: mask() }
      case 'compact':
        return { kind, group, node, keep: this.#one([0, 0, 3, 20]) }
      case 'reopen':
        return { kind, group, node, ms: this.#one([0, 0, 5, 100]) }
      case 'recreate':
        return { kind, group, voters: mask(), learners: mask(), ms: this.#ms(200) }
      case 'cut':
        return { kind, from: node, to: other, ms: this.#ms(500) }
      case 'reset':
        return { kind, from: node, to: other, notices: this.#random.below(4) }
      case 'replay':
        return { kind, from: node, to: other, count: 1 + this.#random.below(8) }
      case 'corrupt':
        return {
          kind,
          from: node,
          to: other,
          at: this.#random.below(400),
          value: 1 + this.#random.below(255),
        }
      case 'isolate':
        return { kind, node, direction: this.#random.below(3), ms: this.#ms(500) }
      case 'split':
        return { kind, mask: mask(), ms: this.#ms(500) }
      case 'bridge':
        return { kind, node, mask: mask(), ms: this.#ms(500) }
      default:
        return this.#drawForProcess(kind, node)
    }
  }

  #drawForProcess(
    kind:
      'crash' | 'crashInTurn' | 'crashAll' | 'stop' | 'destroy' | 'loseLog' | 'pause' | 'clock' | 'diskStall',
    node: number,
  ): Unplaced {
    const random = this.#random
    const kept = this.#one([0, 1000, random.below(1001)])
    switch (kind) {
      case 'crash':
        return { kind, node, ms: this.#ms(400), kept }
      case 'crashInTurn':
        return { kind, node, sends: random.below(4), ms: this.#ms(400), kept }
      case 'crashAll':
        return { kind, ms: this.#ms(300), kept }
      case 'stop':
        return { kind, node, ms: this.#ms(300) }
      case 'destroy':
        return { kind, node, joint: random.below(2) }
      case 'loseLog':
        return { kind, node, ms: this.#ms(300), machine: random.below(2) }
      case 'pause':
        return { kind, node, ms: this.#ms(400), ticksFirst: random.below(2) }
      case 'clock':
        return { kind, node, percent: this.#one([50, 80, 100, 125, 200]) }
      case 'diskStall':
        return { kind, node, ms: this.#ms(600) }
      default:
        return unreachable(kind)
    }
  }

  #one<T>(choices: readonly T[]): T {
    return choices[this.#random.below(choices.length)]!
  }

  /** Short ones are as likely as long ones. */
  #ms(max: number): number {
    return Math.round(100 * max * this.#random.next() ** 2) / 100
  }

  #mask({ nodes }: Choices): number {
    let mask = 0
    for (const node of nodes) if (this.#random.below(5) < 3) mask |= 1 << (node - 1)
    return mask
  }
}

function lotteryOf({ weights }: Conditions, isIn: (kind: DecisionKind) => boolean): Lottery {
  let upTo = 0
  return (Object.entries(weights) as [Drawn, number][])
    .filter(([kind]) => isIn(kind))
    .map(([kind, weight]) => ({ kind, upTo: (upTo += weight) }))
}
