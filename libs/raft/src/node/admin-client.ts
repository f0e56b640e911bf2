import { UtilityConnection } from '../transport/utility-connection.js'
import {
  type AdminRequest,
  type AdminResponse,
  decodeAdminResponse,
  encodeAdminRequest,
} from './admin-protocol.js'
import type { AdminTarget } from './admin-run.js'
import { clusterIdOf } from './node-identity.js'

/**
 * Asks one node, over a connection of its own.
 * @throws TransportError, RefusedError, AdminProtocolError
 */
export async function askNode(target: AdminTarget, request: AdminRequest): Promise<AdminResponse> {
  const { address, clusterName, secret, tls, timeoutMs } = target
  const signal = AbortSignal.timeout(timeoutMs)
  const connection = await UtilityConnection.open({
    address: { host: address.host, port: address.port },
    clusterId: clusterIdOf(clusterName),
    name: 'raft-admin',
    signal,
    ...(secret === undefined ? {} : { secret }),
    ...(tls === undefined ? {} : { tls }),
  })
  try {
    return decodeAdminResponse(await connection.request(encodeAdminRequest(request), { timeoutMs, signal }))
  } finally {
    await connection.close()
  }
}
