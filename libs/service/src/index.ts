export { ConfigError, EnvReader, type HostPort } from './env-reader.js'
export { createHttpService, type HttpServiceOptions } from './http-service.js'
export { createLogger, LOG_LEVELS, type LogLevel } from './logger.js'
export { runService, type Service } from './run-service.js'
