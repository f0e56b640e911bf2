import { FIRST_FEATURES, supports } from '../feature-level.js'
import { type CommandOf, type Outcome, refused } from './outcome.js'
import type { ClusterTables } from './tables.js'

/** Brokers that are dead count too: they may come back. */
export function raiseFeatureLevel(tables: ClusterTables, command: CommandOf<'raise-feature-level'>): Outcome {
  const { featureLevel } = tables.settings
  if (command.level <= featureLevel) return { result: { featureLevel }, changes: {} }
  for (const { id, features = FIRST_FEATURES } of tables.brokers.values())
    if (!supports(features, command.level))
      return refused(
        'UNSUPPORTED_VERSION',
        `broker ${id} runs in feature levels ${features.min} to ${features.max}, not in ${command.level}`,
        'feature_level',
      )
  tables.settings = { ...tables.settings, featureLevel: command.level }
  const reason = `from ${featureLevel} to ${command.level}`
  const raised = tables.record(command, 'feature-level-raised', 'cluster', reason)
  return { result: { featureLevel: command.level }, changes: { auditEvents: [raised] } }
}

export function changeSettings(tables: ClusterTables, command: CommandOf<'change-settings'>): Outcome {
  const deadAfterMs = { ...tables.settings.deadAfterMs, ...command.deadAfterMs }
  const { rebuildAfterMs } = command
  tables.settings = {
    ...tables.settings,
    deadAfterMs,
    ...(rebuildAfterMs === undefined ? {} : { rebuildAfterMs }),
  }
  const given = Object.entries(command.deadAfterMs).map(([type, ms]) => `${type} dead after ${ms} ms`)
  if (rebuildAfterMs !== undefined) given.push(`broker rebuilt after ${rebuildAfterMs} ms`)
  const changed = tables.record(command, 'settings-changed', 'cluster', given.join(', '))
  return { result: {}, changes: { auditEvents: [changed] } }
}
