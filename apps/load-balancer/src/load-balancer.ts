import type { AddressInfo } from 'node:net'
import { type Clock, Closers, delay } from '@sluice/foundation'
import type { Service } from '@sluice/service'
import type { Logger } from 'pino'
import type { LoadBalancerConfig } from './config.js'
import { Forwarder } from './forwarder.js'
import { buildHttp } from './http.js'
import { ManagerGroup } from './manager-group.js'
import { Manager, type ManagerChange } from './manager.js'
import type { ManagerAddress } from './address.js'
import { RequestIds } from './request-id.js'

export interface LoadBalancer extends Service {
  /** The port it listens on. */
  readonly port: number
}

const drainPollMs = 20

/** Listens, and watches the managers. A start that fails leaves nothing open. */
export async function startLoadBalancer(
  config: LoadBalancerConfig,
  logger: Logger,
  clock: Clock,
): Promise<LoadBalancer> {
  const closers = new Closers()
  const groupOf = (
    component: 'write-manager' | 'read-manager',
    addresses: readonly ManagerAddress[],
  ): ManagerGroup => {
    const onChange = (manager: Manager, change: ManagerChange): void => {
      const fields = { manager: manager.address.label, kind: component }
      if (change.up) logger.info(fields, 'a manager is up')
      else logger.warn({ ...fields, reason: change.reason }, 'a manager is down')
    }
    const managers = addresses.map((address) => new Manager(address, config.managers, onChange))
    for (const manager of managers) {
      closers.add(`connections to ${manager.address.label}`, () => manager.close())
      manager.watch()
    }
    return new ManagerGroup(component, managers)
  }
  try {
    let stopping = false
    const forwarder = new Forwarder(config.calls, clock)
    const app = buildHttp({
      logger,
      forwarder,
      writeManagers: groupOf('write-manager', config.writeManagers),
      readManagers: groupOf('read-manager', config.readManagers),
      requestIds: new RequestIds(),
      bodyBytesMax: config.bodyBytesMax,
      bodiesBytesMax: config.bodiesBytesMax,
      stopping: () => stopping,
    })
    closers.add('http server', () => app.close())
    await app.listen({ host: config.host, port: config.port })
    const { port } = app.server.address() as AddressInfo
    logger.info({ host: config.host, port }, 'listening')
    let stopped: Promise<void> | undefined
    const stop = async (): Promise<void> => {
      stopping = true
      forwarder.beginStop()
      const limit = clock.monotonic() + config.drainMs
      while (forwarder.openCount > 0 && clock.monotonic() < limit) await delay(drainPollMs)
      forwarder.close()
      await closers.closeAll()
    }
    return { port, stop: () => (stopped ??= stop()) }
  } catch (error) {
    await closers.closeAll()
    throw error
  }
}
