import type { Component } from '@sluice/domain'
import type { Manager } from './manager.js'

/** The managers that can serve the same calls, used in turn. */
export class ManagerGroup {
  readonly component: Component
  readonly managers: readonly Manager[]
  #turn = 0

  constructor(component: Component, managers: readonly Manager[]) {
    this.component = component
    this.managers = managers
  }

  get ready(): boolean {
    return this.managers.some((manager) => manager.up)
  }

  /** True when a manager is up that is not one of these. */
  hasOther(tried: readonly Manager[]): boolean {
    return this.managers.some((manager) => manager.up && !tried.includes(manager))
  }

  /**
   * The next manager that is up and was not tried by this call. When none is up, one that is down: it
   * may have come back since it was checked, and asking costs no more than refusing.
   */
  next(tried: readonly Manager[]): Manager | undefined {
    const count = this.managers.length
    let fallback: Manager | undefined
    for (let step = 0; step < count; step += 1) {
      const index = (this.#turn + step) % count
      const manager = this.managers[index]!
      if (tried.includes(manager)) continue
      if (manager.up) {
        this.#turn = (index + 1) % count
        return manager
      }
      fallback ??= manager
    }
    if (fallback !== undefined) this.#turn = (this.#turn + 1) % count
    return fallback
  }
}
