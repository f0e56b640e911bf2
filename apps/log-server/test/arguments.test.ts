import { describe, expect, test } from '@jest/globals'
import { parseArguments, UsageError } from '../src/arguments.js'

const NODES = ['localhost:5003', 'localhost:5001', 'localhost:5002']

describe('the command line', () => {
  test('gives every node the same ids and the same group, in whatever order the list comes', () => {
    const one = parseArguments(['run', 'localhost:5001', ...NODES])
    const two = parseArguments(['run', 'localhost:5002', ...NODES.toReversed()])
    expect([one.nodeId, two.nodeId]).toEqual([1, 2])
    expect(one.nodes).toEqual(two.nodes)
    expect(one.groupUuid).toEqual(two.groupUuid)
    expect(one.self).toMatchObject({ host: 'localhost', port: 5001 })
  })

  test('another output id or another list is another log', () => {
    const uuid = (...args: string[]): string => Buffer.from(parseArguments(args).groupUuid).toString('hex')
    const all = [
      uuid('run', 'localhost:5001', ...NODES),
      uuid('run2', 'localhost:5001', ...NODES),
      uuid('run', 'localhost:5001', ...NODES.slice(0, 2)),
    ]
    expect(new Set(all).size).toBe(3)
  })

  test('an IPv6 address stands in brackets', () => {
    expect(parseArguments(['run', '[::1]:5001', '[::1]:5001']).self).toMatchObject({
      host: '::1',
      port: 5001,
    })
  })

  test.each<[string, readonly string[], RegExp]>([
    ['nothing', [], /are needed, not 0 arguments/],
    ['no list', ['run', 'localhost:5001'], /are needed, not 2 arguments/],
    ['an output id with a slash', ['a/b', 'localhost:5001', 'localhost:5001'], /output id "a\/b"/],
    ['an empty output id', ['', 'localhost:5001', 'localhost:5001'], /output id ""/],
    [
      'a port that is none',
      ['run', 'localhost:70000', 'localhost:70000'],
      /"localhost:70000" is no host:port/,
    ],
    ['no port', ['run', 'localhost', 'localhost'], /is no host:port/],
    ['a node twice', ['run', 'a:1', 'a:1', 'a:1'], /a:1 is listed twice/],
    ['itself not in the list', ['run', 'a:1', 'a:2', 'a:3'], /a:1 is not in the list of nodes: a:2 a:3/],
    [
      'ten nodes',
      ['run', 'a:1', ...Array.from({ length: 10 }, (_, i) => `a:${i + 1}`)],
      /10 nodes are more than 9/,
    ],
  ])('%s is refused', (_what, args, message) => {
    expect(() => parseArguments(args)).toThrow(UsageError)
    expect(() => parseArguments(args)).toThrow(message)
  })
})
