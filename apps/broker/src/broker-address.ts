import { BrokerError, toBrokerId } from '@sluice/domain'

export interface BrokerAddress {
  readonly id: number
  readonly host: string
  readonly port: number
}

/** The gate for an address from a file or another process. @throws BrokerError INVALID_REQUEST */
export function toBrokerAddress(value: unknown): BrokerAddress {
  const { id, host, port } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >
  if (
    typeof host !== 'string' ||
    typeof port !== 'number' ||
    !Number.isInteger(port) ||
    port < 1 ||
    port > 65_535
  )
    throw new BrokerError('INVALID_REQUEST', 'a broker address has an id, a host and a port')
  return { id: toBrokerId(id), host, port }
}
