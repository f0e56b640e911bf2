import type { NodeId } from '../../core/types.js'
import { nodeId } from '../core-driver.js'
import { ScenarioError } from './scenario-error.js'

/**
 * One line of a scenario: `name word … option=value …`. Whoever carries it out takes what it
 * understands; `end` refuses what is left, so that no misspelt option goes unnoticed.
 */
export class CommandLine {
  readonly name: string
  readonly #words: string[] = []
  readonly #options = new Map<string, string>()

  constructor(text: string) {
    const [name = '', ...rest] = text.trim().split(/\s+/)
    this.name = name
    for (const part of rest) {
      const at = part.indexOf('=')
      if (at < 0) {
        this.#words.push(part)
        continue
      }
      const option = part.slice(0, at)
      if (this.#options.has(option)) throw new ScenarioError(`${option} is given twice`)
      this.#options.set(option, part.slice(at + 1))
    }
  }

  /** The next word, which is a node's. */
  takeId(): NodeId {
    return idOf(this.#words.shift() ?? '')
  }

  takeNumber(): number {
    return numberOf(this.#words.shift() ?? '')
  }

  /** All words that are left. */
  takeWords(): readonly string[] {
    return this.#words.splice(0)
  }

  takeIds(): readonly NodeId[] {
    return this.takeWords().map(idOf)
  }

  /** Whether the word stands there, wherever. */
  takeFlag(flag: string): boolean {
    const at = this.#words.indexOf(flag)
    if (at >= 0) this.#words.splice(at, 1)
    return at >= 0
  }

  takeOption(option: string): string | undefined {
    const value = this.#options.get(option)
    this.#options.delete(option)
    return value
  }

  takeNumberOption(option: string): number | undefined {
    const value = this.takeOption(option)
    return value === undefined ? undefined : numberOf(value)
  }

  /** A list like `1,2,3`; `none` is the empty one. */
  takeNumbersOption(option: string): readonly number[] | undefined {
    const value = this.takeOption(option)
    if (value === undefined) return undefined
    return value === 'none' ? [] : value.split(',').map(numberOf)
  }

  takeIdsOption(option: string): readonly NodeId[] | undefined {
    return this.takeNumbersOption(option)?.map(nodeId)
  }

  /** @throws ScenarioError when something is left that nobody took */
  end(): void {
    const left = [...this.#words, ...this.#options.keys()]
    if (left.length > 0) throw new ScenarioError(`${this.name} does not know ${left.join(' and ')}`)
  }
}

function idOf(text: string): NodeId {
  return nodeId(numberOf(text))
}

function numberOf(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new ScenarioError(`a number is expected, not “${text}”`)
  return Number(text)
}
