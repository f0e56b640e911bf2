import { join } from 'node:path'
import type { PortWish } from './ports.js'
import { type ProcessPlan, processMarks } from './process-plan.js'

/** Absolute paths of what the processes run. */
export interface ProcessScripts {
  readonly broker: string
  readonly writeManager: string
  readonly readManager: string
  readonly loadBalancer: string
}

export interface ClusterShape {
  readonly clusterId: string
  readonly dataDirectory: string
  /** The public address. */
  readonly host: string
  readonly port: number
  readonly brokerCount: number
  /** Those of them that the cluster refuses for good. */
  readonly givenUp?: ReadonlySet<number>
  readonly readManagerCount: number
  readonly writeManagerCount: number
  readonly loadBalancerCount: number
}

/** What the processes talk to each other on. Only the public address leaves the machine. */
export const INTERNAL_HOST = '127.0.0.1'

/** The first of several has the name that the only one has: it finds its port and its log again. */
const writeManagerName = (id: number): string => (id === 1 ? 'write-manager' : `write-manager-${id}`)
const loadBalancerName = (id: number): string => (id === 1 ? 'load-balancer' : `load-balancer-${id}`)
const brokerName = (id: number): string => `broker-${id}`
const readManagerName = (id: number): string => `read-manager-${id}`

const ids = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)

/** The ports a cluster wants: those it had before, else the documented ones. */
export function portWishes(shape: ClusterShape, before: ReadonlyMap<string, number>): PortWish[] {
  const wish = (name: string, usual: number): PortWish => {
    const had = before.get(name)
    return { name, preferred: had === undefined ? [usual] : [had, usual] }
  }
  return [
    ...ids(shape.brokerCount).map((id) => wish(brokerName(id), 7000 + id)),
    ...ids(shape.writeManagerCount).map((id) => wish(writeManagerName(id), 7100 + id)),
    ...ids(shape.readManagerCount).map((id) => wish(readManagerName(id), 7200 + id)),
    ...ids(shape.loadBalancerCount)
      .slice(1)
      .map((id) => wish(loadBalancerName(id), Math.min(shape.port + id - 1, 65_535))),
  ]
}

/** Where each load balancer listens; the first where the settings say. */
function loadBalancerPorts(shape: ClusterShape, ports: ReadonlyMap<string, number>): number[] {
  return ids(shape.loadBalancerCount).map((id) =>
    id === 1 ? shape.port : portOf(ports, loadBalancerName(id)),
  )
}

/** Managers and load balancers: they follow the brokers, and wait for them when started first. */
export function planFront(
  shape: ClusterShape,
  ports: ReadonlyMap<string, number>,
  scripts: ProcessScripts,
): ProcessPlan[] {
  const brokers = ids(shape.brokerCount)
    .map((id) => `${INTERNAL_HOST}:${portOf(ports, brokerName(id))}`)
    .join(',')
  const shared = { SLUICE_CLUSTER_ID: shape.clusterId, SLUICE_BROKERS: brokers }
  const writeManagers = ids(shape.writeManagerCount).map((id) => ({
    id,
    port: portOf(ports, writeManagerName(id)),
  }))
  const readManagers = ids(shape.readManagerCount).map((id) => ({
    id,
    port: portOf(ports, readManagerName(id)),
  }))
  return [
    ...writeManagers.map(({ id, port }) =>
      internal(shape, {
        name: writeManagerName(id),
        kind: 'write-manager',
        id,
        port,
        script: scripts.writeManager,
        env: {
          ...shared,
          WRITE_MANAGER_HOST: INTERNAL_HOST,
          WRITE_MANAGER_PORT: String(port),
          WRITE_MANAGER_ID: String(id),
        },
      }),
    ),
    ...readManagers.map(({ id, port }) =>
      internal(shape, {
        name: readManagerName(id),
        kind: 'read-manager',
        id,
        port,
        script: scripts.readManager,
        env: {
          ...shared,
          READ_MANAGER_HOST: INTERNAL_HOST,
          READ_MANAGER_PORT: String(port),
          READ_MANAGER_ID: String(id),
        },
      }),
    ),
    ...loadBalancerPorts(shape, ports).map((port, i) => ({
      name: loadBalancerName(i + 1),
      kind: 'load-balancer' as const,
      id: i + 1,
      host: shape.host,
      port,
      script: scripts.loadBalancer,
      args: processMarks(shape.clusterId, loadBalancerName(i + 1)),
      env: {
        SLUICE_CLUSTER_ID: shape.clusterId,
        LOAD_BALANCER_HOST: shape.host,
        LOAD_BALANCER_PORT: String(port),
        LOAD_BALANCER_WRITE_MANAGERS: addressesOf(writeManagers),
        LOAD_BALANCER_READ_MANAGERS: addressesOf(readManagers),
      },
      readyPath: '/health/ready',
    })),
  ]
}

/** The brokers of the first hour, who all know each other. */
export function planBrokers(
  shape: ClusterShape,
  ports: ReadonlyMap<string, number>,
  databaseUrls: ReadonlyMap<number, string>,
  scripts: ProcessScripts,
): ProcessPlan[] {
  const members = ids(shape.brokerCount)
  const bootstrap = members.map((id) => `${id}=${INTERNAL_HOST}:${portOf(ports, brokerName(id))}`).join(',')
  const started = members.filter((id) => shape.givenUp?.has(id) !== true)
  return started.map((id) => {
    const port = portOf(ports, brokerName(id))
    return internal(shape, {
      name: brokerName(id),
      kind: 'broker',
      id,
      port,
      script: scripts.broker,
      env: {
        SLUICE_CLUSTER_ID: shape.clusterId,
        SLUICE_BOOTSTRAP_BROKERS: bootstrap,
        BROKER_ID: String(id),
        ...brokerEnv(port, join(shape.dataDirectory, brokerName(id)), databaseUrls.get(id) ?? ''),
      },
    })
  })
}

/** A broker that waits until POST /broker names its address. */
export function planExtraBroker(
  cluster: { readonly clusterId: string; readonly dataDirectory: string },
  broker: { readonly port: number; readonly databaseUrl: string },
  script: string,
): ProcessPlan {
  const name = `broker-extra-${broker.port}`
  const { clusterId, dataDirectory } = cluster
  return {
    name,
    kind: 'broker',
    id: broker.port,
    host: INTERNAL_HOST,
    port: broker.port,
    script,
    args: processMarks(clusterId, name),
    env: {
      ...brokerEnv(broker.port, join(dataDirectory, name), broker.databaseUrl),
      // Empty is absent: it belongs to no cluster until it is added to one.
      SLUICE_CLUSTER_ID: '',
      SLUICE_BOOTSTRAP_BROKERS: '',
      BROKER_ID: '',
    },
    // It is not ready to serve before it is added, and alive is all that can be waited for.
    readyPath: '/health/live',
  }
}

function addressesOf(managers: readonly { readonly port: number }[]): string {
  return managers.map(({ port }) => `http://${INTERNAL_HOST}:${port}`).join(',')
}

function brokerEnv(port: number, dataDirectory: string, databaseUrl: string): Record<string, string> {
  return {
    BROKER_HOST: INTERNAL_HOST,
    BROKER_ADVERTISED_HOST: INTERNAL_HOST,
    BROKER_PORT: String(port),
    BROKER_DATA_DIR: dataDirectory,
    BROKER_DATABASE_URL: databaseUrl,
  }
}

function internal(shape: ClusterShape, plan: Omit<ProcessPlan, 'host' | 'args' | 'readyPath'>): ProcessPlan {
  return {
    ...plan,
    host: INTERNAL_HOST,
    args: processMarks(shape.clusterId, plan.name),
    readyPath: '/health/ready',
  }
}

function portOf(ports: ReadonlyMap<string, number>, name: string): number {
  const port = ports.get(name)
  if (port === undefined) throw new Error(`no port was chosen for ${name}`)
  return port
}
