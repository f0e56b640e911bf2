import { type BrokerAddress, addressText } from './broker-address.js'

/**
 * Which broker to ask next for the leader of one group: the one that answered last, else the one that
 * was hinted at, else the members in turn. The first member is the preferred leader.
 */
export class LeaderRoute {
  #leader: string | undefined
  #turn = 0

  /** @param members never kept; the list of now. `undefined` when it is empty */
  pick(members: readonly BrokerAddress[]): BrokerAddress | undefined {
    if (this.#leader !== undefined) {
      for (const member of members) if (addressText(member) === this.#leader) return member
      this.#leader = undefined
    }
    return members.length === 0 ? undefined : members[this.#turn % members.length]
  }

  /** `member` answered as the leader. */
  succeeded(member: BrokerAddress): void {
    this.#leader = addressText(member)
    this.#turn = 0
  }

  /**
   * `member` did not answer as the leader; `hint` is who does, as far as it knows.
   * True when the hint names another broker, which is worth asking at once.
   */
  failed(member: BrokerAddress, hint: BrokerAddress | undefined): boolean {
    const hinted = hint !== undefined && addressText(hint) !== addressText(member)
    this.#leader = hinted ? addressText(hint) : undefined
    this.#turn++
    return hinted
  }
}
