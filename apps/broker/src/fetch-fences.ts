import { BrokerError } from '@sluice/domain'

interface RequestName {
  readonly consumerId: number
  readonly requestId: string
}

/** A fetch is late by a paused process or a full socket; a fence that is gone by then has done its work. */
const FENCES_MAX = 10_000

/**
 * Which try of a request was the last to look up what the request was given, or to release it. An earlier try
 * that arrives late must be given nothing: its caller was told what there is.
 *
 * Kept in memory only: what a leader gives because it does not know of the lookup is released by the
 * read manager, whose caller is gone.
 */
export class FetchFences {
  /** Holders; negative: that one has released. */
  #newer = new Map<string, number>()
  #older = new Map<string, number>()

  /** @throws BrokerError MANAGER_UNAVAILABLE for a try that another one has overtaken */
  pass(
    groupId: number,
    fetch: RequestName & { readonly holder: number; readonly lookupOnly: boolean },
  ): void {
    const known = this.#get(keyOf(groupId, fetch))
    if (
      fetch.lookupOnly &&
      (known === undefined || known === fetch.holder || Math.abs(known) < fetch.holder)
    ) {
      this.#put(groupId, fetch, fetch.holder)
      return
    }
    if (known !== undefined && known !== fetch.holder)
      throw new BrokerError('MANAGER_UNAVAILABLE', 'this consume call was taken over or given up', {
        component: 'read-manager',
        outcome: 'no',
      })
  }

  /** The try will not ask any more; what of it is late comes from before. */
  released(groupId: number, release: RequestName & { readonly holder: number }): void {
    const known = this.#get(keyOf(groupId, release))
    if (known === undefined || Math.abs(known) <= release.holder) this.#put(groupId, release, -release.holder)
  }

  #put(groupId: number, request: RequestName, holder: number): void {
    this.#newer.set(keyOf(groupId, request), holder)
    // The older half goes at once: finding the oldest one of a map costs as many steps as it has lost.
    if (this.#newer.size < FENCES_MAX / 2) return
    this.#older = this.#newer
    this.#newer = new Map()
  }

  #get(key: string): number | undefined {
    return this.#newer.get(key) ?? this.#older.get(key)
  }
}

function keyOf(groupId: number, { consumerId, requestId }: RequestName): string {
  return `${groupId}/${consumerId}/${requestId}`
}
