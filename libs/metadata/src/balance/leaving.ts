import type { BrokerState } from '../entities.js'

/** Gives everything away, to be removed. */
export function isLeaving({ state }: { readonly state: BrokerState }): boolean {
  return state === 'removing' || state === 'evicted'
}
