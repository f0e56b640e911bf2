import type { ErrorCode } from '@sluice/domain'
import type { MetadataCommand } from '../command.js'
import type { MetadataChanges } from '../entities.js'

/** What a command answers: its fields, or why it was refused; a refusal changes nothing. */
export type MetadataResult =
  | {
      readonly error: {
        readonly code: ErrorCode
        readonly message: string
        readonly field?: string
        readonly outcome: 'no'
      }
    }
  | Readonly<Record<string, unknown>>

/** The rows that a command touched; tables that it left alone are absent. */
export type Change = { -readonly [K in keyof MetadataChanges]?: MetadataChanges[K][number][] }

export interface Outcome {
  readonly result: MetadataResult
  readonly changes: Change
}

export type CommandOf<K extends MetadataCommand['kind']> = Extract<MetadataCommand, { kind: K }>

export function refused(code: ErrorCode, message: string, field?: string): Outcome {
  return {
    result: { error: { code, message, outcome: 'no', ...(field === undefined ? {} : { field }) } },
    changes: {},
  }
}
