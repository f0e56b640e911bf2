import { describe, expect, test } from '@jest/globals'
import { ConfigError, EnvReader } from '@sluice/service'

describe('settings', () => {
  test('are read, with fallbacks for what is absent or empty', () => {
    const reader = new EnvReader({
      A: 'x',
      B: '5',
      C: ' ',
      D: 'debug',
      E: 'http://h:1,https://i',
      F: 'h:1, [::1]:2',
    })
    expect(reader.string('A')).toBe('x')
    expect(reader.string('C', { fallback: 'y' })).toBe('y')
    expect(reader.integer('B', { min: 1, max: 9 })).toBe(5)
    expect(reader.integer('Z', { min: 1, max: 9, fallback: 3 })).toBe(3)
    expect(reader.choice('D', ['info', 'debug'], 'info')).toBe('debug')
    expect(reader.urls('E')).toEqual(['http://h:1', 'https://i'])
    expect(reader.addresses('F')).toEqual([
      { host: 'h', port: 1 },
      { host: '[::1]', port: 2 },
    ])
    expect(() => reader.finish()).not.toThrow()
  })

  test('with mistakes are refused all together', () => {
    const reader = new EnvReader({ B: '10', C: '1.5', D: 'loud', E: 'ftp://x', F: 'h:99999' })
    reader.string('A')
    reader.integer('B', { min: 1, max: 9 })
    reader.integer('C', { min: 1, max: 9 })
    reader.choice('D', ['info'], 'info')
    reader.urls('E')
    reader.addresses('F')
    reader.reject('A and B exclude each other')
    let mistakes: readonly string[] = []
    try {
      reader.finish()
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError)
      ;({ mistakes } = error as ConfigError)
    }
    expect(mistakes).toEqual([
      'A is not set',
      'B must be an integer from 1 to 9, not "10"',
      'C must be an integer from 1 to 9, not "1.5"',
      'D must be one of info, not "loud"',
      'E: "ftp://x" is no http address',
      'F: "h:99999" is not host:port',
      'A and B exclude each other',
    ])
  })
})
