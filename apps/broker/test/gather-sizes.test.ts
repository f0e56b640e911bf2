import { expect, test } from '@jest/globals'
import { type BrokerStatus, encodeJson } from '@sluice/contracts'
import type { RpcLink } from '@sluice/rpc'
import { gatherSizes } from '../src/gather-sizes.js'

const status = (led: BrokerStatus['led']): BrokerStatus => ({
  version: '0.2.0',
  disk: { freeBytes: 1, totalBytes: 2 },
  led,
  behind: [],
})

function peers(answers: Readonly<Record<number, () => Promise<Uint8Array>>>): {
  link(id: number): RpcLink | undefined
} {
  return {
    link: (id) => {
      const request = answers[id]
      return request === undefined ? undefined : ({ request } as unknown as RpcLink)
    },
  }
}

test('are those that leaders tell', async () => {
  const sizes = await gatherSizes({
    own: () => Promise.resolve(status([[1, 100]])),
    others: [2],
    peers: peers({ 2: () => Promise.resolve(encodeJson(status([[2, 200]]))) }),
  })
  expect([...sizes]).toEqual([
    [1, 100],
    [2, 200],
  ])
})

test('who does not answer is left out: this broker with a database that hangs, one that is not known, one that fails', async () => {
  const sizes = await gatherSizes({
    own: () => new Promise(() => undefined),
    others: [2, 3, 4, 5],
    peers: peers({
      2: () => Promise.resolve(encodeJson(status([[2, 200]]))),
      3: () => Promise.reject(new Error('the connection broke')),
      4: () => Promise.resolve(encodeJson({ led: 'nonsense' })),
    }),
  })
  expect([...sizes]).toEqual([[2, 200]])
})
