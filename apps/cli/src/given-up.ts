import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '@sluice/foundation'
import { readClusterFile } from './cluster-file.js'
import { dataPaths } from './data-paths.js'

const FILE_NAME = 'given-up.json'

/**
 * Brokers that a forced recovery gave up: the cluster refuses them for good, so that there is no use in starting them.
 * @throws Error that names the file when it is not one of ours
 */
export function givenUpBrokers(dataDirectory: string, clusterId: string): ReadonlySet<number> {
  const file = join(dataDirectory, FILE_NAME)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Set()
    throw error
  }
  try {
    const { cluster_id, brokers } = JSON.parse(text) as Record<string, unknown>
    if (!Array.isArray(brokers) || !brokers.every(Number.isSafeInteger))
      throw new Error('brokers is not a list of ids')
    return new Set(cluster_id === clusterId ? (brokers as number[]) : [])
  } catch (cause) {
    throw new Error(`${file} cannot be read: ${messageOf(cause)}`, { cause })
  }
}

/** Notes it where the cluster was started from; elsewhere nothing is known of its processes. */
export function noteGivenUp(dataDirectory: string, clusterId: string, brokers: readonly number[]): void {
  if (readClusterFile(dataPaths(dataDirectory).clusterFile)?.clusterId !== clusterId) return
  const all = [...new Set([...givenUpBrokers(dataDirectory, clusterId), ...brokers])].sort((a, b) => a - b)
  const file = join(dataDirectory, FILE_NAME)
  const draft = `${file}.${process.pid}.tmp`
  writeFileSync(draft, `${JSON.stringify({ cluster_id: clusterId, brokers: all }, null, 2)}\n`, {
    flush: true,
  })
  renameSync(draft, file)
}
