import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'

const START_MS_MAX = 20_000

/** Servers as they are started from a shell: one process each, in one folder. */
export class ServerProcesses {
  readonly ports: readonly number[]
  readonly #children: ChildProcess[]

  constructor(ports: readonly number[], children: ChildProcess[]) {
    this.ports = ports
    this.#children = children
  }

  /** @throws when one of them does not come up, with what it said */
  static async start(options: {
    readonly count: number
    readonly outputId: string
    readonly folder: string
    /** The built `main.js` of a server. */
    readonly program: string
  }): Promise<ServerProcesses> {
    const { count, outputId, folder, program } = options
    const ports = await freePorts(count)
    const nodes = ports.map((port) => `127.0.0.1:${port}`)
    const children = nodes.map((node) =>
      spawn(process.execPath, [program, outputId, node, ...nodes], {
        cwd: folder,
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    )
    const servers = new ServerProcesses(ports, children)
    try {
      await Promise.all(children.map(listening))
    } catch (error) {
      servers.kill()
      throw error
    }
    return servers
  }

  /** Resolves once all have ended. */
  async ended(): Promise<void> {
    const running = this.#children.filter((child) => child.exitCode === null)
    await Promise.all(
      running.map((child) => new Promise<void>((resolve) => child.once('exit', () => resolve()))),
    )
  }

  kill(): void {
    for (const child of this.#children) child.kill('SIGKILL')
  }
}

function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    const timer = setTimeout(() => reject(new Error(`a server does not listen: ${said}`)), START_MS_MAX)
    const take = (chunk: Buffer): void => {
      said += chunk.toString()
      if (!said.includes('listens on')) return
      clearTimeout(timer)
      resolve()
    }
    child.stdout?.on('data', take)
    child.stderr?.on('data', take)
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`a server ended with ${String(code)}: ${said}`))
    })
  })
}

/** Ports that nobody listens on, found together so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  for (const server of servers)
    ports.push(
      await new Promise<number>((resolve, reject) => {
        server.once('error', reject)
        server.listen(0, '127.0.0.1', () => {
          const address = server.address()
          resolve(typeof address === 'object' && address !== null ? address.port : 0)
        })
      }),
    )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
