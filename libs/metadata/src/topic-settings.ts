import { BrokerError } from '@sluice/domain'
import type { TopicInfo, TopicSettings } from './entities.js'

const FIELDS = ['retentionMs', 'retentionBytes', 'retentionMessages'] as const

/** The gate for settings from the log or another process. @throws BrokerError INVALID_REQUEST */
function parseTopicSettings(value: unknown): TopicSettings {
  if (value === undefined) return {}
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid('settings', 'an object')
  const parsed: { -readonly [K in keyof TopicSettings]: TopicSettings[K] } = {}
  for (const field of FIELDS) {
    const limit = (value as Record<string, unknown>)[field]
    if (limit === undefined) continue
    if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 1)
      throw invalid(field, 'a positive integer')
    parsed[field] = limit
  }
  return parsed
}

/** What is absent stays as it is, null is no limit. */
export type TopicSettingsChange = { readonly [K in keyof TopicSettings]?: number | null }

/** @throws BrokerError INVALID_REQUEST */
export function parseSettingsChange(value: unknown): TopicSettingsChange {
  const given = (value ?? {}) as Record<string, unknown>
  const change: { -readonly [K in keyof TopicSettingsChange]: TopicSettingsChange[K] } = {
    ...parseTopicSettings(withoutNulls(given)),
  }
  for (const field of FIELDS) if (given[field] === null) change[field] = null
  return change
}

/** The topic with what the change says. */
export function withSettingsChange(topic: TopicInfo, change: TopicSettingsChange): TopicInfo {
  const merged = { ...topic.settings, ...change }
  return withSettings(topic, parseTopicSettings(withoutNulls(merged)))
}

function withoutNulls(settings: object): object {
  return Object.fromEntries(Object.entries(settings).filter(([, limit]) => limit !== null))
}

/** True when something of the topic is deleted in the course of time. */
export function hasRetention(settings: TopicSettings): boolean {
  return FIELDS.some((field) => settings[field] !== undefined)
}

/** The topic under new settings. That messages of it may have been deleted is never forgotten. */
function withSettings(topic: TopicInfo, settings: TopicSettings): TopicInfo {
  return { ...topic, settings, trimmed: topic.trimmed || hasRetention(settings) }
}

function invalid(field: string, expected: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `${field} of a topic must be ${expected}`, { field })
}
