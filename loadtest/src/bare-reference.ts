import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fire, type LoadResult } from './load-run.js'

/** A bare Fastify server in a process of its own, on a free port of the loopback interface. */
export class BareReference {
  readonly url: string
  readonly #stop: () => Promise<void>

  private constructor(url: string, stop: () => Promise<void>) {
    this.url = url
    this.#stop = stop
  }

  /** @param script absolute path of the compiled `bare-server.js` */
  static async start(script: string): Promise<BareReference> {
    const child = fork(script, { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const exited = once(child, 'exit')
    const [message] = (await Promise.race([
      once(child, 'message', { signal: AbortSignal.timeout(20_000) }),
      exited.then(() => {
        throw new Error('the bare server ended before it listened')
      }),
    ])) as [{ readonly port: number }]
    return new BareReference(`http://127.0.0.1:${message.port}`, async () => {
      child.disconnect()
      await exited
    })
  }

  measure(connections: number, seconds: number, body: string): Promise<LoadResult> {
    return fire({ url: this.url, path: '/bare', connections, seconds, body: { perConnection: () => body } })
  }

  stop(): Promise<void> {
    return this.#stop()
  }
}
