/** Where a broker listens. `id` is known once the address comes from the cluster's metadata. */
export interface BrokerAddress {
  readonly host: string
  readonly port: number
  readonly id?: number
}

/** `127.0.0.1:7001`: tells addresses apart, and is what people read. */
export function addressText(address: { readonly host: string; readonly port: number }): string {
  return `${address.host}:${address.port}`
}
