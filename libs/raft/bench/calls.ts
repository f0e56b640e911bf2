import { toError } from '@sluice/foundation'

/** A program's calls, which its parent makes by message. Arguments and results are copied. */
export type Calls<T> = { readonly [Name in keyof T]: (...args: never[]) => unknown }

export interface CallMessage {
  readonly id: number
  readonly name: string
  readonly args: readonly unknown[]
}

/** What a child says: an answer to a call, or something that happened. */
export type ChildMessage =
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly message: string }
  | { readonly kind: 'event'; readonly value: unknown }

function tell(message: ChildMessage): void {
  process.send!(message)
}

/** Tells the parent of something that it did not ask for. */
export function tellEvent(value: unknown): void {
  tell({ kind: 'event', value })
}

/** Answers the parent's calls, and ends when there is no parent any more. */
export function serveCalls<T extends Calls<T>>(calls: T): void {
  const byName = new Map(Object.entries<(...args: never[]) => unknown>(calls))
  const answer = async ({ id, name, args }: CallMessage): Promise<void> => {
    try {
      tell({ kind: 'result', id, value: await byName.get(name)!(...(args as never[])) })
    } catch (error) {
      tell({ kind: 'error', id, message: toError(error).stack ?? toError(error).message })
    }
  }
  process.on('message', (message) => void answer(message as CallMessage))
  process.on('disconnect', () => process.exit(0))
}
