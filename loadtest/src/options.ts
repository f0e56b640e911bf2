import { InvalidArgumentError } from 'commander'
import { SCENARIO_NAMES, type ScenarioName } from './original.js'

/** @throws InvalidArgumentError unless the address is one of this machine: a load test is never aimed elsewhere */
export function parseLoopbackUrl(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new InvalidArgumentError('not an address such as http://127.0.0.1:8080')
  }
  const loopback =
    url.hostname === 'localhost' || url.hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(url.hostname)
  if (url.protocol !== 'http:' || !loopback)
    throw new InvalidArgumentError('only http addresses of this machine are loaded')
  return url.origin
}

/** Reads `1,16,60`. */
export function parseConnections(text: string): number[] {
  return text.split(',').map((part) => {
    const count = Number(part)
    if (!Number.isInteger(count) || count < 1 || count > 1000)
      throw new InvalidArgumentError('connections are numbers from 1 to 1000')
    return count
  })
}

/** Reads `produce,consume`. */
export function parseScenarios(text: string): ScenarioName[] {
  return text.split(',').map((part) => {
    const name = SCENARIO_NAMES.find((known) => known === part.trim())
    if (name === undefined) throw new InvalidArgumentError(`scenarios are ${SCENARIO_NAMES.join(', ')}`)
    return name
  })
}

export function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (!Number.isFinite(seconds) || seconds < 1 || seconds > 3600)
    throw new InvalidArgumentError('a number from 1 to 3600')
  return seconds
}

export function parseCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 0 || count > 1_000_000)
    throw new InvalidArgumentError('a number from 0 to 1000000')
  return count
}
