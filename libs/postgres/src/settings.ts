import { STARTER_SETTING } from './pid-file.js'

/** Without these a crash may lose or ruin data: for tests. */
const CARELESS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/**
 * Command line settings. The log tells of warnings and of what ends the server; statements and values
 * stay out of it, since they hold messages.
 */
export function serverSettings(durable: boolean, starter: string): string[] {
  const settings: Readonly<Record<string, string>> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    [STARTER_SETTING]: starter,
    max_connections: '100',
    shared_buffers: '128MB',
    wal_compression: 'off',
    max_wal_size: '1GB',
    wal_level: 'minimal',
    max_wal_senders: '0',
    log_destination: 'stderr',
    logging_collector: 'off',
    log_checkpoints: 'off',
    log_error_verbosity: 'terse',
    log_min_error_statement: 'panic',
    log_timezone: 'UTC',
    timezone: 'UTC',
    ...(durable ? {} : CARELESS),
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}
