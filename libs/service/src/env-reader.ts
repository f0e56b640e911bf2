import { messageOf } from '@sluice/foundation'

/** Every mistake in the configuration, at once. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(`the configuration is not valid:\n${mistakes.map((mistake) => `  - ${mistake}`).join('\n')}`)
    this.mistakes = mistakes
  }
}

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** Reads settings from the environment; gathers mistakes and tells them together. An empty variable is absent. */
export class EnvReader {
  readonly #env: NodeJS.ProcessEnv
  readonly #mistakes: string[] = []

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env
  }

  /** Text; required without a fallback. */
  string(name: string, options: { readonly fallback?: string } = {}): string {
    const text = this.#text(name)
    if (text !== undefined) return text
    if (options.fallback !== undefined) return options.fallback
    return this.#mistake(`${name} is not set`, '')
  }

  integer(
    name: string,
    options: { readonly min: number; readonly max: number; readonly fallback?: number },
  ): number {
    const { min, max, fallback } = options
    const text = this.#text(name)
    if (text === undefined && fallback !== undefined) return fallback
    if (text === undefined) return this.#mistake(`${name} is not set`, min)
    const value = /^-?[0-9]+$/.test(text) ? Number(text) : Number.NaN
    if (!Number.isSafeInteger(value) || value < min || value > max)
      return this.#mistake(`${name} must be an integer from ${min} to ${max}, not "${text}"`, min)
    return value
  }

  choice<const T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const text = this.#text(name)
    if (text === undefined) return fallback
    const found = choices.find((choice) => choice === text)
    return found ?? this.#mistake(`${name} must be one of ${choices.join(', ')}, not "${text}"`, fallback)
  }

  /** Whatever `parse` makes of the text; what it throws is the mistake. Required without a fallback. */
  parse<T>(name: string, parse: (text: string) => T, fallback?: T): T {
    const text = this.#text(name)
    if (text === undefined) return fallback ?? this.#mistake(`${name} is not set`, undefined as T)
    try {
      return parse(text)
    } catch (error) {
      return this.#mistake(`${name}: ${messageOf(error)}`, fallback as T)
    }
  }

  /** `http://127.0.0.1:7101,http://127.0.0.1:7102`; at least one. */
  urls(name: string, fallback?: readonly string[]): readonly string[] {
    return this.parse(
      name,
      (text) =>
        split(text).map((part) => {
          if (!URL.canParse(part) || !/^https?:$/.test(new URL(part).protocol))
            throw new Error(`"${part}" is no http address`)
          return part
        }),
      fallback,
    )
  }

  /** `127.0.0.1:7001,127.0.0.1:7002`; at least one. */
  addresses(name: string, fallback?: readonly HostPort[]): readonly HostPort[] {
    return this.parse(name, (text) => split(text).map(toHostPort), fallback)
  }

  /** A mistake that concerns several settings. */
  reject(mistake: string): void {
    this.#mistakes.push(mistake)
  }

  /** @throws ConfigError with every mistake found */
  finish(): void {
    if (this.#mistakes.length > 0) throw new ConfigError(this.#mistakes)
  }

  #text(name: string): string | undefined {
    const text = this.#env[name]?.trim()
    return text === '' ? undefined : text
  }

  #mistake<T>(mistake: string, standIn: T): T {
    this.#mistakes.push(mistake)
    return standIn
  }
}

function split(text: string): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

function toHostPort(text: string): HostPort {
  const match = /^(.+):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[2])
  if (match === null || port < 1 || port > 65_535) throw new Error(`"${text}" is not host:port`)
  return { host: match[1]!, port }
}
