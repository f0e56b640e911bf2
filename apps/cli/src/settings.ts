import { resolve } from 'node:path'
import { EnvReader } from '@sluice/service'

export interface ClusterSettings {
  /** Absolute path of the directory that holds everything. */
  readonly dataDirectory: string
  /** Where the public port listens: 127.0.0.1 is this machine only, 0.0.0.0 every network it is on. */
  readonly host: string
  readonly port: number
  readonly brokerCount: number
  readonly readManagerCount: number
  readonly writeManagerCount: number
  /** The first listens on `port`, the others on the ports behind it, as far as they are free. */
  readonly loadBalancerCount: number
  /** Existing PostgreSQL servers to use; none for the one that comes along. */
  readonly databaseUrls: readonly string[]
  /** Start of the name of each broker's database; its number follows. */
  readonly databasePrefix: string
  /** Wait before a process that ended is started again, milliseconds. */
  readonly restartDelayMs: number
  /** How long a process may take until it serves, milliseconds. */
  readonly startTimeoutMs: number
  /** How long a process may take to stop before it is killed, milliseconds. */
  readonly stopTimeoutMs: number
}

/** What the command line says; it comes before the environment. */
export interface SettingsFlags {
  readonly brokers?: string
  readonly readManagers?: string
  readonly writeManagers?: string
  readonly loadBalancers?: string
  readonly port?: string
  readonly dataDir?: string
}

/** @throws Error that names every setting that is wrong */
export function readSettings(env: NodeJS.ProcessEnv, flags: SettingsFlags): ClusterSettings {
  const reader = new EnvReader({
    ...env,
    ...(flags.brokers === undefined ? {} : { SLUICE_BROKER_COUNT: flags.brokers }),
    ...(flags.readManagers === undefined ? {} : { SLUICE_READ_MANAGER_COUNT: flags.readManagers }),
    ...(flags.writeManagers === undefined ? {} : { SLUICE_WRITE_MANAGER_COUNT: flags.writeManagers }),
    ...(flags.loadBalancers === undefined ? {} : { SLUICE_LOAD_BALANCER_COUNT: flags.loadBalancers }),
    ...(flags.port === undefined ? {} : { SLUICE_PORT: flags.port }),
    ...(flags.dataDir === undefined ? {} : { SLUICE_DATA_DIR: flags.dataDir }),
  })
  const settings: ClusterSettings = {
    dataDirectory: resolve(reader.string('SLUICE_DATA_DIR', { fallback: './.sluice' })),
    host: reader.string('SLUICE_HOST', { fallback: '127.0.0.1' }),
    port: reader.integer('SLUICE_PORT', { min: 1, max: 65_535, fallback: 8080 }),
    brokerCount: reader.integer('SLUICE_BROKER_COUNT', { min: 1, max: 99, fallback: 3 }),
    readManagerCount: reader.integer('SLUICE_READ_MANAGER_COUNT', { min: 1, max: 99, fallback: 2 }),
    writeManagerCount: reader.integer('SLUICE_WRITE_MANAGER_COUNT', { min: 1, max: 99, fallback: 1 }),
    loadBalancerCount: reader.integer('SLUICE_LOAD_BALANCER_COUNT', { min: 1, max: 99, fallback: 1 }),
    databaseUrls: reader.parse(
      'SLUICE_DATABASE_URLS',
      parseDatabaseUrls,
      reader.parse('DATABASE_URL', parseDatabaseUrls, []),
    ),
    databasePrefix: reader.parse('SLUICE_DATABASE_PREFIX', parsePrefix, 'sluice_broker_'),
    restartDelayMs: reader.integer('SLUICE_RESTART_DELAY_MS', { min: 10, max: 60_000, fallback: 1000 }),
    startTimeoutMs: reader.integer('SLUICE_START_TIMEOUT_MS', { min: 1000, max: 600_000, fallback: 60_000 }),
    stopTimeoutMs: reader.integer('SLUICE_STOP_TIMEOUT_MS', { min: 100, max: 600_000, fallback: 15_000 }),
  }
  reader.finish()
  return settings
}

function parseDatabaseUrls(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const valid = URL.canParse(part) && /^postgres(ql)?:$/.test(new URL(part).protocol)
      // The text may hold a password, so it is not repeated.
      if (!valid)
        throw new Error('is not a list of addresses such as postgres://user:password@host:5432/database')
      return part
    })
}

function parsePrefix(text: string): string {
  if (!/^[a-z_][a-z0-9_]{0,39}$/.test(text))
    throw new Error('must be small letters, digits and _, at most 40')
  return text
}
