import { createServer, type Server } from 'node:net'
import type { PortClaims } from './port-claims.js'

export interface PortWish {
  readonly name: string
  /** Tried first, in this order; when all are taken the operating system gives one. */
  readonly preferred: readonly number[]
}

/** The operating system's choice; more than once, since another cluster may have claimed it. */
const ANY_PORT: readonly number[] = [0, 0, 0, 0, 0]

/** True when a server could listen there now. */
export async function isPortFree(host: string, port: number): Promise<boolean> {
  const probe = await tryListen(host, port)
  if (probe === undefined) return false
  await closed(probe)
  return true
}

/**
 * A port for each wish, all different, and claimed: two clusters that start at once do not choose the
 * same ones. All are held until all are chosen.
 */
export async function choosePorts(
  host: string,
  wishes: readonly PortWish[],
  claims: PortClaims,
): Promise<Map<string, number>> {
  const ports = new Map<string, number>()
  const probes: Server[] = []
  try {
    for (const { name, preferred } of wishes) {
      const probe = await firstFree(host, preferred, claims)
      probes.push(probe)
      const address = probe.address()
      if (address === null || typeof address === 'string') throw new Error('the probe has no port')
      ports.set(name, address.port)
    }
    return ports
  } finally {
    await Promise.all(probes.map(closed))
  }
}

async function firstFree(host: string, preferred: readonly number[], claims: PortClaims): Promise<Server> {
  for (const port of [...preferred, ...ANY_PORT]) {
    const probe = await tryListen(host, port)
    if (probe === undefined) continue
    const address = probe.address()
    if (address !== null && typeof address !== 'string' && claims.claim(address.port)) return probe
    await closed(probe)
  }
  throw new Error(`no port is free on ${host}`)
}

/** @returns undefined when the port is taken @throws when the host is not one of this machine */
function tryListen(host: string, port: number): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.unref()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined)
      else reject(error)
    })
    server.listen({ host, port, exclusive: true }, () => resolve(server))
  })
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
