import { decodeConfiguration, encodeConfiguration } from './configuration.js'
import type { Configuration } from './types.js'

/** A configuration and how it is written. Many groups hold the same one: nobody changes any of it. */
export interface PooledConfiguration {
  readonly configuration: Configuration
  readonly bytes: Uint8Array
}

const KEPT_MAX = 1024
/** A larger one, with much context, is hardly that of many groups. */
const KEPT_BYTES_MAX = 4096

/** Thousands of groups have the same few members: what they keep of them is there once. */
export class ConfigurationPool {
  readonly #kept = new Map<string, PooledConfiguration>()

  /** @throws ConfigurationError */
  decode(bytes: Uint8Array): PooledConfiguration {
    if (bytes.length > KEPT_BYTES_MAX) return pooled(bytes)
    const key = String.fromCharCode(...bytes)
    let known = this.#kept.get(key)
    if (known === undefined) {
      known = pooled(bytes)
      if (this.#kept.size >= KEPT_MAX) this.#kept.delete(this.#kept.keys().next().value!)
      this.#kept.set(key, known)
    }
    return known
  }

  /** One without voters is a node's that knows nothing of its group yet; no log holds it. */
  of(configuration: Configuration): PooledConfiguration {
    const bytes = encodeConfiguration(configuration)
    return configuration.voters.length === 0 ? { configuration, bytes } : this.decode(bytes)
  }
}

/** The bytes may be a view of much more, which it would keep in memory. */
function pooled(bytes: Uint8Array): PooledConfiguration {
  return { configuration: decodeConfiguration(bytes), bytes: Uint8Array.from(bytes) }
}
