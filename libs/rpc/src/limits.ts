/** The bounds of one connection. */
export interface RpcLimits {
  /** Larger frames close the connection. */
  readonly frameBytesMax: number
  /** Requests that await their answers. */
  readonly inFlightMax: number
  /** Bytes that wait for the network; reaching it refuses requests and drops messages. */
  readonly writeBufferBytesMax: number
  readonly connectTimeoutMs: number
  /** How often a ping is sent. */
  readonly pingMs: number
  /** A peer from which nothing is heard for so long is dead. */
  readonly silentMs: number
}

export const DEFAULT_LIMITS: RpcLimits = {
  frameBytesMax: 16 * 1024 * 1024,
  inFlightMax: 4096,
  writeBufferBytesMax: 64 * 1024 * 1024,
  connectTimeoutMs: 2000,
  pingMs: 1000,
  silentMs: 4000,
}
