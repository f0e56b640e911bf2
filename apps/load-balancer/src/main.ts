import { systemClock } from '@sluice/foundation'
import { createLogger, runService } from '@sluice/service'
import { readLoadBalancerConfig } from './config.js'
import { startLoadBalancer } from './load-balancer.js'

const logger = createLogger({ component: 'load-balancer', level: process.env['SLUICE_LOG_LEVEL'] ?? 'info' })
await runService(() => startLoadBalancer(readLoadBalancerConfig(process.env), logger, systemClock), logger)
