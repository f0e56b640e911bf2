import { join } from 'node:path'

/** Where things lie in a data directory. */
export interface DataPaths {
  readonly directory: string
  readonly lock: string
  readonly clusterFile: string
  readonly logs: string
  readonly postgres: string
}

export function dataPaths(directory: string): DataPaths {
  return {
    directory,
    lock: join(directory, 'sluice.lock'),
    clusterFile: join(directory, 'cluster.json'),
    logs: join(directory, 'logs'),
    postgres: join(directory, 'postgres'),
  }
}
