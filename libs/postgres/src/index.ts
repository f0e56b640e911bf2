export { type PostgresOptions, PostgresServer, startPostgres } from './postgres-server.js'
export type { ServerExit } from './server-process.js'
export { PostgresStartError, type PostgresStartReason } from './start-error.js'
export { startTemporaryPostgres, type TemporaryServer } from './temporary-server.js'
