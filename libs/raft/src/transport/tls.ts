import tls from 'node:tls'
import type { Refusal } from './refusal.js'

/** Both ends show a certificate of one of the authorities (mutual TLS 1.3). PEM. */
export interface TransportTls {
  /** Authorities that may have signed the peers' certificates. */
  readonly ca: string | Uint8Array
  readonly cert: string | Uint8Array
  readonly key: string | Uint8Array
  /** Whether a node's certificate must name the host of its address (subject alternative name). Default false. */
  readonly checkAddress?: boolean
}

/** What both `tls.connect` and `tls.createServer` are given. */
export function tlsMaterial({ ca, cert, key }: TransportTls): tls.SecureContextOptions {
  const bytes = (pem: string | Uint8Array): string | Buffer =>
    typeof pem === 'string' ? pem : Buffer.from(pem)
  return { ca: bytes(ca), cert: bytes(cert), key: bytes(key), minVersion: 'TLSv1.3' }
}

/** Why a certificate is not that of a host, if it is not. A common name alone covers nothing (RFC 9525). */
export function certificateMistake(host: string, certificate: tls.PeerCertificate): Refusal | undefined {
  const covered =
    typeof certificate.subjectaltname === 'string' && tls.checkServerIdentity(host, certificate) === undefined
  return covered ? undefined : { code: 'CERTIFICATE', message: `the certificate does not cover ${host}` }
}
