import type { IncomingHttpHeaders } from 'node:http'

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
}

export const UPGRADE_PATH = '/rpc'
/** Changes when frames do; both sides must speak the same. */
export const PROTOCOL = 'sluice-rpc/1'

const CLUSTER = 'x-sluice-cluster'
const NODE = 'x-sluice-node'
const ROLE = 'x-sluice-role'
const SECRET = 'x-sluice-secret'

export function helloHeaders(identity: RpcIdentity): Record<string, string> {
  return {
    [CLUSTER]: identity.clusterId,
    [NODE]: identity.nodeId,
    [ROLE]: identity.role,
    ...(identity.secret === undefined ? {} : { [SECRET]: identity.secret }),
  }
}

export function peerOf(headers: IncomingHttpHeaders, remoteAddress: string): RpcPeer {
  return {
    clusterId: text(headers[CLUSTER]),
    nodeId: text(headers[NODE]),
    role: text(headers[ROLE]),
    remoteAddress,
  }
}

export function secretOf(headers: IncomingHttpHeaders): string {
  return text(headers[SECRET])
}

function text(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : ''
}
