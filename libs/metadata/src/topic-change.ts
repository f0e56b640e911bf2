import type { TopicChange } from './command.js'
import type { TopicInfo } from './entities.js'
import { withSettingsChange } from './topic-settings.js'

/** The topic with what the change says; null takes a setting away. */
export function withTopicChange(topic: TopicInfo, { growth, growthMax, settings }: TopicChange): TopicInfo {
  const {
    growth: growthBefore,
    growthMax: growthMaxBefore,
    ...rest
  } = withSettingsChange(topic, settings ?? {})
  const growthNow = growth === undefined ? growthBefore : growth
  const growthMaxNow = growthMax === undefined ? growthMaxBefore : growthMax
  return {
    ...rest,
    ...(growthNow === null || growthNow === undefined ? {} : { growth: growthNow }),
    ...(growthMaxNow === null || growthMaxNow === undefined ? {} : { growthMax: growthMaxNow }),
  }
}
