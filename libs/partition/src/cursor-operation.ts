/** What an entry does to the cursor of one consumer. */
export type CursorOperation =
  | {
      readonly kind: 'grant'
      readonly consumerId: number
      readonly requestId: string
      readonly from: number
      readonly to: number
      /** Who has the messages and answers the caller: see `CursorGrant`. */
      readonly holder: number
    }
  /** The same request came again by another holder, who has what it was given from now on. */
  | {
      readonly kind: 'hold'
      readonly consumerId: number
      readonly requestId: string
      readonly holder: number
    }
  /** What the request was given reached nobody, from this offset on: the next who ask get it. */
  | {
      readonly kind: 'release'
      readonly consumerId: number
      readonly requestId: string
      readonly from: number
      readonly holder: number
      /** Also when an earlier holder has it; never when a later one has. */
      readonly orEarlier: boolean
    }
  | {
      readonly kind: 'set'
      readonly consumerId: number
      readonly requestId: string
      readonly offset: number
      /** An acknowledgement: never moves the cursor back. */
      readonly forwardOnly: boolean
    }
