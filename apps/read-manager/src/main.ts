import { entropy, systemClock } from '@sluice/foundation'
import { createLogger, runService } from '@sluice/service'
import { startReadManager } from './app.js'
import { readReadManagerConfig } from './config.js'

const logger = createLogger({ component: 'read-manager', level: process.env['SLUICE_LOG_LEVEL'] ?? 'info' })

await runService(
  (signal) =>
    startReadManager(
      readReadManagerConfig(process.env),
      { clock: systemClock, random: entropy(), logger },
      signal,
    ),
  logger,
)
