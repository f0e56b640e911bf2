import { entropy, systemClock } from '@sluice/foundation'
import { createLogger, runService } from '@sluice/service'
import { startWriteManager } from './app.js'
import { readWriteManagerConfig } from './config.js'

const logger = createLogger({ component: 'write-manager', level: process.env['SLUICE_LOG_LEVEL'] ?? 'info' })

await runService(
  (signal) =>
    startWriteManager(
      readWriteManagerConfig(process.env),
      { clock: systemClock, random: entropy(), logger },
      signal,
    ),
  logger,
)
