import { systemClock } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { pino } from 'pino'
import { type LoadBalancerConfig, readLoadBalancerConfig } from '../src/config.js'
import { type LoadBalancer, startLoadBalancer } from '../src/load-balancer.js'
import { FakeManager } from './fake-manager.js'

export interface Failure {
  readonly status: string
  readonly code: string
  readonly message: string
  readonly component: string
  readonly retriable: boolean
  readonly outcome: string
}

/** A load balancer in front of fake managers, all on real ports. */
export class World {
  readonly write: readonly FakeManager[]
  readonly read: readonly FakeManager[]
  #balancer: LoadBalancer | undefined

  private constructor(write: readonly FakeManager[], read: readonly FakeManager[]) {
    this.write = write
    this.read = read
  }

  /** Resolves once every manager is known to be up. */
  static async start(
    counts: { readonly write?: number; readonly read?: number } = {},
    change: (config: LoadBalancerConfig) => LoadBalancerConfig = (config) => config,
  ): Promise<World> {
    const managers = (kind: string, count: number): Promise<FakeManager[]> =>
      Promise.all(
        Array.from({ length: count }, (_, index) => new FakeManager(`${kind}-${index + 1}`).start()),
      )
    const world = new World(
      await managers('write', counts.write ?? 1),
      await managers('read', counts.read ?? 2),
    )
    const config = readLoadBalancerConfig({
      LOAD_BALANCER_PORT: '0',
      LOAD_BALANCER_WRITE_MANAGERS: world.write.map(({ address }) => address).join(','),
      LOAD_BALANCER_READ_MANAGERS: world.read.map(({ address }) => address).join(','),
      LOAD_BALANCER_HEALTH_INTERVAL_MS: '30',
      LOAD_BALANCER_CALL_TIMEOUT_MS: '400',
      LOAD_BALANCER_WAIT_TIMEOUT_MS: '800',
      LOAD_BALANCER_DRAIN_MS: '300',
    })
    world.#balancer = await startLoadBalancer(change(config), pino({ level: 'silent' }), systemClock)
    await world.untilUp((up) => up.every(Boolean))
    return world
  }

  get port(): number {
    return this.#balancer?.port ?? 0
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  post(path: string, body: object | string = { a: 1 }, init: RequestInit = {}): Promise<Response> {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const headers = { 'content-type': 'application/json', ...(init.headers as Record<string, string>) }
    return fetch(this.url + path, { ...init, method: 'POST', body: text, headers })
  }

  get(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.url + path, init)
  }

  /** Awaits what the load balancer believes of its managers, write managers first. */
  async untilUp(accept: (up: boolean[]) => boolean): Promise<void> {
    await eventually(async () => {
      const { managers } = (await (await this.get('/')).json()) as { managers: { up: boolean }[] }
      const up = managers.map((manager) => manager.up)
      if (!accept(up)) throw new Error(`managers up: ${up.join()}`)
    }, 5000)
  }

  stopBalancer(): Promise<void> {
    return this.#balancer?.stop() ?? Promise.resolve()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.write, ...this.read].map((manager) => manager.stop()))
    await this.stopBalancer()
  }
}

export async function failureOf(response: Response): Promise<Failure> {
  return (await response.json()) as Failure
}
