import { applyContext, replicated, ReplicatedDecodeError } from '@sluice/raft'

/** A refusal: nothing was changed. */
export class AtmError extends Error {
  override readonly name = 'AtmError'
}

interface Movement {
  readonly at: number
  readonly account: string
  readonly amount: number
}

/**
 * The accounts of a network of cash machines, in whole cents, on all its nodes. Its laws: no balance is
 * below 0, a balance is the sum of the account's movements, and all balances together are what was
 * deposited less what was withdrawn.
 */
export class AtmNetwork {
  #balances = new Map<string, number>()
  #movements: Movement[] = []
  #deposited = 0
  #withdrawn = 0

  /** The new balance. */
  @replicated deposit(account: string, amount: number): number {
    this.#deposited += positive(amount)
    return this.#move(account, amount)
  }

  @replicated withdraw(account: string, amount: number): number {
    this.#checkCovered(account, positive(amount))
    this.#withdrawn += amount
    return this.#move(account, -amount)
  }

  @replicated transfer(from: string, to: string, amount: number): void {
    if (from === to) throw new AtmError('a transfer goes to another account')
    this.#checkCovered(from, positive(amount))
    this.#move(from, -amount)
    this.#move(to, amount)
  }

  balance(account: string): number {
    return this.#balances.get(account) ?? 0
  }

  movements(account: string): readonly Movement[] {
    return this.#movements.filter((movement) => movement.account === account)
  }

  /** What is broken; empty when all laws hold. */
  brokenLaws(): string[] {
    const broken: string[] = []
    let total = 0
    for (const [account, balance] of this.#balances) {
      total += balance
      if (balance < 0) broken.push(`${account} is overdrawn by ${-balance}`)
      const sum = this.movements(account).reduce((of, { amount }) => of + amount, 0)
      if (sum !== balance) broken.push(`${account} has ${balance}, its movements make ${sum}`)
    }
    if (total !== this.#deposited - this.#withdrawn)
      broken.push(`${total} in all accounts, ${this.#deposited} deposited, ${this.#withdrawn} withdrawn`)
    return broken
  }

  capture(): Iterable<unknown> {
    const head = [this.#deposited, this.#withdrawn, [...this.#balances]]
    return [head, [...this.#movements]]
  }

  restore(parts: readonly unknown[]): void {
    const [head, movements] = parts
    if (!Array.isArray(head) || !Array.isArray(movements)) throw new ReplicatedDecodeError('no ATM network')
    const [deposited, withdrawn, balances] = head as [number, number, [string, number][]]
    this.#deposited = deposited
    this.#withdrawn = withdrawn
    this.#balances = new Map(balances)
    this.#movements = movements as Movement[]
  }

  #checkCovered(account: string, amount: number): void {
    if (this.balance(account) < amount)
      throw new AtmError(`${account} has ${this.balance(account)}, not ${amount}`)
  }

  #move(account: string, amount: number): number {
    const balance = this.balance(account) + amount
    this.#balances.set(account, balance)
    this.#movements.push({ at: applyContext().timeMs, account, amount })
    return balance
  }
}

function positive(amount: number): number {
  if (!Number.isSafeInteger(amount) || amount <= 0)
    throw new AtmError('an amount is a positive number of cents')
  return amount
}
