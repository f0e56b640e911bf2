import { createLogger, runService } from '@sluice/service'
import { Broker } from './broker.js'
import { readBrokerConfig } from './config.js'

const logger = createLogger({ component: 'broker', level: process.env['SLUICE_LOG_LEVEL'] ?? 'info' })

/** Distinct from a start that failed: the disk failed, or an invariant broke, while serving. */
const EXIT_FATAL = 70

await runService(
  () =>
    Broker.start(readBrokerConfig(process.env), logger, {
      onFatal: (err) => {
        logger.fatal({ err }, 'this broker cannot go on; it ends without acknowledging anything more')
        process.exit(EXIT_FATAL)
      },
    }),
  logger,
)
