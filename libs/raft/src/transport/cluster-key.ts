import { createHash, createHmac, hkdfSync, scrypt, timingSafeEqual } from 'node:crypto'

/** Which end of a connection: the one that dialled, or the one that took the call. */
export type Side = 'dialer' | 'acceptor'

/** One AES-256 key per direction. */
export interface SessionKeys {
  readonly send: Uint8Array
  readonly receive: Uint8Array
}

const KEY_BYTES = 32
/** 16 MiB and some 50 ms once for each cluster: guessing secrets costs that for each guess. */
const SCRYPT = { N: 16_384, r: 8, p: 1 } as const
const LABEL = 'sluice raft transport 1'

/** Both hellos, and with them both nonces, identities and roles, as one hash. */
export function transcriptOf(dialerHello: Uint8Array, acceptorHello: Uint8Array): Uint8Array {
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32LE(dialerHello.length, 0)
  lengths.writeUInt32LE(acceptorHello.length, 4)
  return createHash('sha256').update(lengths).update(dialerHello).update(acceptorHello).digest()
}

/**
 * What the members of a cluster know. The secret itself never travels: each side proves it by an
 * HMAC-SHA-256 over the transcript under its own side's name, so that no proof can be replayed or
 * reflected. Without TLS the same key, salted by the transcript, encrypts the connection; whoever learns
 * the secret later can then read what he recorded (no forward secrecy: use TLS where that matters).
 */
export class ClusterKey {
  readonly #authKey: Uint8Array
  readonly #sealKey: Uint8Array

  private constructor(master: Uint8Array) {
    this.#authKey = expand(master, new Uint8Array(0), 'proof')
    this.#sealKey = expand(master, new Uint8Array(0), 'seal')
  }

  static derive(secret: string | Uint8Array, clusterId: Uint8Array): Promise<ClusterKey> {
    return new Promise((resolve, reject) => {
      scrypt(secret, Buffer.concat([Buffer.from(LABEL), clusterId]), KEY_BYTES, SCRYPT, (error, master) => {
        if (error === null) resolve(new ClusterKey(master))
        else reject(error)
      })
    })
  }

  /** 32 bytes. */
  proof(side: Side, transcript: Uint8Array): Uint8Array {
    return createHmac('sha256', this.#authKey).update(`${LABEL} ${side}`).update(transcript).digest()
  }

  /** In constant time. */
  isProof(side: Side, transcript: Uint8Array, proof: Uint8Array): boolean {
    const right = this.proof(side, transcript)
    return proof.length === right.length && timingSafeEqual(proof, right)
  }

  /** Of one connection: the transcript holds fresh nonces of both sides. */
  sessionKeys(side: Side, transcript: Uint8Array): SessionKeys {
    const ofDialer = expand(this.#sealKey, transcript, 'dialer to acceptor')
    const ofAcceptor = expand(this.#sealKey, transcript, 'acceptor to dialer')
    return side === 'dialer'
      ? { send: ofDialer, receive: ofAcceptor }
      : { send: ofAcceptor, receive: ofDialer }
  }
}

function expand(key: Uint8Array, salt: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, salt, `${LABEL} ${purpose}`, KEY_BYTES))
}
