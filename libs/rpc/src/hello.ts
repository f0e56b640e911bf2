import type { IncomingHttpHeaders } from 'node:http'
import { BUILD_VERSION } from '@sluice/foundation'

/** Who speaks on a connection. */
export interface RpcIdentity {
  /** Empty only for an administrator, or a broker that belongs to no cluster yet. */
  readonly clusterId: string
  readonly nodeId: string
  readonly role: 'broker' | 'manager' | 'admin'
  readonly secret?: string
}

/** Who is at the other end, as far as it says. */
export interface RpcPeer {
  readonly clusterId: string
  readonly nodeId: string
  readonly role: string
  readonly remoteAddress: string
  /** Its build's version; empty when it does not say. */
  readonly build: string
}

export const UPGRADE_PATH = '/rpc'

const CLUSTER = 'x-sluice-cluster'
const NODE = 'x-sluice-node'
const ROLE = 'x-sluice-role'
const SECRET = 'x-sluice-secret'
const BUILD = 'x-sluice-version'

export function helloHeaders(identity: RpcIdentity): Record<string, string> {
  return {
    [CLUSTER]: identity.clusterId,
    [NODE]: identity.nodeId,
    [ROLE]: identity.role,
    [BUILD]: BUILD_VERSION,
    ...(identity.secret === undefined ? {} : { [SECRET]: identity.secret }),
  }
}

export function peerOf(headers: IncomingHttpHeaders, remoteAddress: string): RpcPeer {
  return {
    clusterId: text(headers[CLUSTER]),
    nodeId: text(headers[NODE]),
    role: text(headers[ROLE]),
    remoteAddress,
    build: text(headers[BUILD]),
  }
}

export function secretOf(headers: IncomingHttpHeaders): string {
  return text(headers[SECRET])
}

function text(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : ''
}
