import { PortClaims } from '../src/port-claims.js'
import { choosePorts } from '../src/ports.js'

/** A port that is free now and not claimed. */
export async function freePort(): Promise<number> {
  const claims = new PortClaims()
  try {
    return (await choosePorts('127.0.0.1', [{ name: 'any', preferred: [] }], claims)).get('any')!
  } finally {
    claims.release()
  }
}
