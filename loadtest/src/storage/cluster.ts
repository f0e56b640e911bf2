import { readFileSync } from 'node:fs'
import path from 'node:path'

export interface BrokerProcess {
  readonly id: number
  readonly pid: number
  readonly port: number
}

/** A cluster that `npm start` runs in a data directory of this machine. */
export interface RunningCluster {
  readonly clusterId: string
  readonly postgresUrl: string
  readonly brokers: readonly BrokerProcess[]
}

/** What brokers say of themselves, and the system of them. */
export interface Sample {
  /** Messages in the partitions' leaders. */
  readonly stored: number
  /** Messages that are in a database, of the broker that has fewest. */
  readonly materialised: number
  /** Megabytes of the largest broker. */
  readonly residentMb: number
  readonly residentMbAll: readonly number[]
}

/** What a broker says of its replica of a partition. */
export interface PartitionStatus {
  readonly name: string
  readonly role: 'leader' | 'follower'
  readonly end: number
  readonly materialised: number
  /** Its log has entries from behind here on. */
  readonly compacted: number
  readonly applied: number
}

export function findCluster(dataDirectory: string): RunningCluster {
  const file = JSON.parse(readFileSync(path.join(dataDirectory, 'cluster.json'), 'utf8')) as {
    readonly clusterId: string
    readonly postgresUrl: string
    readonly processes: readonly {
      readonly kind: string
      readonly id: number
      readonly pid: number | null
      readonly port: number | null
    }[]
  }
  const brokers = file.processes.flatMap(({ kind, id, pid, port }) =>
    kind === 'broker' && pid !== null && port !== null ? [{ id, pid, port }] : [],
  )
  if (brokers.length === 0) throw new Error(`no broker runs in ${dataDirectory}: start a cluster there first`)
  return { clusterId: file.clusterId, postgresUrl: file.postgresUrl, brokers }
}

export async function sample(cluster: RunningCluster, topic: string): Promise<Sample> {
  const statuses = await Promise.all(cluster.brokers.map(({ port }) => partitionsOf(port, topic)))
  const ends = new Map<string, number>()
  const materialised = new Map<string, number>()
  for (const status of statuses)
    for (const partition of status) {
      ends.set(partition.name, Math.max(ends.get(partition.name) ?? 0, partition.end))
      const known = materialised.get(partition.name) ?? Number.POSITIVE_INFINITY
      materialised.set(partition.name, Math.min(known, partition.materialised))
    }
  const residentMbAll = cluster.brokers.map(({ pid }) => residentMb(pid))
  return {
    stored: sum(ends.values()),
    materialised: sum(materialised.values()),
    residentMb: Math.max(...residentMbAll),
    residentMbAll,
  }
}

/** A topic's partitions, as the broker at a port has them. */
export async function partitionsOf(port: number, topic: string): Promise<readonly PartitionStatus[]> {
  const response = await fetch(`http://127.0.0.1:${port}/status`)
  const { partitions } = (await response.json()) as { readonly partitions: readonly PartitionStatus[] }
  return partitions.filter(({ name }) => name.startsWith(`${topic}.`))
}

/** Where a broker's database is reached. */
export function databaseUrl(cluster: RunningCluster, brokerId: number): string {
  const url = new URL(cluster.postgresUrl)
  url.pathname = `/sluice_broker_${brokerId}`
  return url.href
}

function residentMb(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return match === null ? 0 : Math.round(Number(match[1]) / 1024)
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}
