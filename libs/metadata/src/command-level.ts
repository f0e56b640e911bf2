import type { MetadataCommand } from './command.js'
import { MISSING_REPLICAS_LEVEL, REPEATED_DELETION_LEVEL } from './feature-level.js'

/** The feature level that a kind of command came with, where it is not the first one. */
const LEVELS: Readonly<Partial<Record<MetadataCommand['kind'], number>>> = {
  'move-replicas': 2,
  'move-done': 2,
  'move-settled': 2,
  'cancel-move': 2,
  'replica-dropped': 2,
  'set-broker-state': 2,
  'remove-broker': 2,
  'start-plan': 2,
  'step-plan': 2,
  'cancel-plan': 2,
  'begin-recovery': 2,
  'recover-partitions': 2,
  'end-recovery': 2,
  'change-settings': 2,
  'alter-topic': 2,
  'delete-topic': 2,
  'close-partition': 2,
  'remove-partition': 2,
}

/** The level that a cluster must be at for the command: its kind's, or that of a field it carries. */
export function levelOf(command: MetadataCommand): number {
  // The version before would pass over it, and rebuild at once.
  if (command.kind === 'change-settings' && isGiven(command.rebuildAfterMs)) return 3
  if (command.kind === 'start-plan' && command.reason === 'replicas-missing') return MISSING_REPLICAS_LEVEL
  // The version before would delete whichever has the name.
  if (command.kind === 'delete-topic' && isGiven(command.groupId)) return REPEATED_DELETION_LEVEL
  const hasChange =
    command.kind === 'create-topic' && [command.growth, command.growthMax, command.settings].some(isGiven)
  return hasChange ? 2 : (LEVELS[command.kind] ?? 1)
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null
}
