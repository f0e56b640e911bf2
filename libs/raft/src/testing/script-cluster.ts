import { invariant } from '@sluice/foundation'
import { Role } from '../core/types.js'
import { CoreDriver, type DriverOptions, nodeId } from './core-driver.js'

/** A few cores whose messages arrive at once and in order, except over links that are cut. */
export class ScriptCluster {
  readonly drivers = new Map<number, CoreDriver>()
  readonly #cut = new Set<string>()

  constructor(count: number, optionsOf: (id: number) => DriverOptions = () => ({})) {
    const ids = Array.from({ length: count }, (_, i) => i + 1)
    const voters = ids.map(nodeId)
    for (const id of ids)
      this.drivers.set(id, new CoreDriver({ id: nodeId(id), voters, seed: id, ...optionsOf(id) }))
  }

  node(id: number): CoreDriver {
    const driver = this.drivers.get(id)
    invariant(driver !== undefined, `node ${id} exists`)
    return driver
  }

  get leaders(): readonly CoreDriver[] {
    return [...this.drivers.values()].filter((driver) => driver.core.role === Role.LEADER)
  }

  cut(from: number, to: number): void {
    this.#cut.add(`${from}>${to}`)
  }

  /** Cuts a node off in both directions. */
  isolate(id: number): void {
    for (const other of this.drivers.keys()) {
      this.cut(id, other)
      this.cut(other, id)
    }
  }

  heal(): void {
    this.#cut.clear()
  }

  /** Turns, syncs and delivers until nobody has anything to say. */
  settle(): void {
    for (let round = 0; round < 1000; round++) {
      let quiet = true
      for (const driver of this.drivers.values()) {
        driver.settle()
        for (const { message, entries } of driver.sent.splice(0)) {
          quiet = false
          if (this.#cut.has(`${message.from}>${message.to}`)) continue
          this.node(message.to).receive(message, entries)
        }
      }
      if (quiet) return
    }
    invariant(false, 'a cluster without faults falls silent')
  }

  /** So many ticks of everyone, each with all that follows from it. */
  tick(count = 1): void {
    for (let i = 0; i < count; i++) {
      for (const driver of this.drivers.values()) driver.tick()
      this.settle()
    }
  }

  /** Makes the node campaign, and everything that follows. */
  elect(id: number): CoreDriver {
    const driver = this.node(id)
    driver.core.campaign()
    this.settle()
    return driver
  }

  /** A crash and a restart: what was handed out is durable, everything else is gone. */
  restart(id: number, options: DriverOptions = {}): CoreDriver {
    const old = this.node(id)
    const driver = new CoreDriver({
      id: nodeId(id),
      voters: old.core.configuration.voters,
      seed: id + 100,
      log: old.log,
      hardState: old.hardState,
      ...options,
    })
    this.drivers.set(id, driver)
    return driver
  }
}
