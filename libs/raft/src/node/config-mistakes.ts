import { InvalidConfigError } from './errors.js'

export interface NumberRule {
  readonly min: number
  readonly max: number
  readonly integer?: boolean
}

/** Gathers everything that is wrong with a configuration, so that it is told all at once. */
export class ConfigMistakes {
  readonly #found: string[] = []
  /** Fields that are wrong already: a rule between two fields says nothing new about them. */
  readonly #fields = new Set<string>()

  add(field: string, text: string): void {
    this.#fields.add(field)
    this.#found.push(`${field} ${text}`)
  }

  number(field: string, value: unknown, { min, max, integer = false }: NumberRule): void {
    const isNumber = typeof value === 'number' && Number.isFinite(value)
    if (isNumber && value >= min && value <= max && (!integer || Number.isInteger(value))) return
    this.add(field, `must be a ${integer ? 'whole ' : ''}number from ${min} to ${max}`)
  }

  boolean(field: string, value: unknown): void {
    if (typeof value !== 'boolean') this.add(field, 'must be true or false')
  }

  text(field: string, value: unknown): void {
    if (typeof value !== 'string' || value === '') this.add(field, 'must be a text that is not empty')
  }

  /** A rule that looks at the field's value, or at how it goes with others. */
  rule(field: string, holds: boolean, text: string): void {
    if (!holds && !this.#fields.has(field)) this.add(field, text)
  }

  /** @throws InvalidConfigError */
  throwIfAny(): void {
    if (this.#found.length > 0) throw new InvalidConfigError(this.#found)
  }
}
