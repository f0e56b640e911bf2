import { randomBytes } from 'node:crypto'
import type { NodeId } from '../core/types.js'
import { type ClusterKey, type SessionKeys, type Side, transcriptOf } from './cluster-key.js'
import { FrameKind } from './frame.js'
import type { HandshakeChannel } from './handshake-channel.js'
import { decodeHello, encodeHello, type Hello, isZero, NONCE_BYTES, type PeerHello } from './hello.js'
import type { Refusal } from './refusal.js'
import { malformed, RefusedError } from './transport-error.js'

/*
 * dialer ── HELLO ──▶ acceptor     who I am, whom I mean, a nonce
 *        ◀─ HELLO ───              the same
 *        ── PROOF ──▶              HMAC over both hellos; empty in a cluster without a secret
 *        ◀─ PROOF ───              the same; the acceptor has admitted the dialer
 *        ── READY ──▶              the dialer has admitted the acceptor: both are up
 *
 * Either side may say REFUSAL instead, and end. Without TLS, all that follows a side's PROOF is encrypted.
 */

interface HandshakeParts {
  readonly channel: HandshakeChannel
  readonly identity: PeerHello
  /** The key of a cluster for whoever has its secret; undefined without a secret. */
  readonly keyOf: ((clusterId: Uint8Array) => Promise<ClusterKey>) | undefined
  /** False under TLS, which encrypts already. */
  readonly encrypts: boolean
}

/** The other end, as proven. */
interface Introduction {
  readonly peer: PeerHello
  /** None when the connection is not encrypted, or by TLS. */
  readonly keys: SessionKeys | undefined
}

/**
 * The dialler's part up to the acceptor's proof; admitting the acceptor and READY are left.
 * @param target the node that must answer; 0 is any
 * @throws RefusedError or TransportError
 */
export async function introduceDialer(parts: HandshakeParts, target: NodeId | 0): Promise<Introduction> {
  const { channel, identity, keyOf } = parts
  const own = encodeHello(ownHello(parts, target))
  channel.write(FrameKind.HELLO, own)
  const theirs = await channel.read(FrameKind.HELLO)
  const peer = decodeHello(theirs)
  refuseFor(clusterMistake(identity, peer) ?? secretMistake(peer, keyOf !== undefined))
  refuseFor(answerMistake(peer, target))
  const key = await keyOf?.(peer.clusterId)
  const transcript = transcriptOf(own, theirs)
  channel.write(FrameKind.PROOF, proofOf(key, 'dialer', transcript))
  const proof = await channel.read(FrameKind.PROOF)
  // An acceptor that has just accepted the proof of this key, but cannot give its own, was never one.
  if (!isProof(key, 'acceptor', transcript, proof)) throw malformed('the acceptor does not know the secret')
  return introduction(parts, key, 'dialer', { peer, transcript })
}

/**
 * The acceptor's part up to its proof; the dialler's READY is left.
 * @param admit asked when the dialler has proven that it is of the cluster
 * @throws RefusedError or TransportError
 */
export async function introduceAcceptor(
  parts: HandshakeParts,
  admit: (peer: PeerHello) => Promise<Refusal | undefined>,
): Promise<Introduction> {
  const { channel, identity, keyOf } = parts
  const theirs = await channel.read(FrameKind.HELLO)
  const peer = decodeHello(theirs)
  refuseFor(clusterMistake(identity, peer) ?? secretMistake(peer, keyOf !== undefined))
  refuseFor(callMistake(identity, peer))
  const own = encodeHello(ownHello(parts, peer.id))
  channel.write(FrameKind.HELLO, own)
  const key = await keyOf?.(identity.clusterId)
  const transcript = transcriptOf(theirs, own)
  const proof = await channel.read(FrameKind.PROOF)
  if (!isProof(key, 'dialer', transcript, proof))
    refuseFor({ code: 'SECRET_WRONG', message: 'the proof is not that of the secret here' })
  refuseFor(await admit(peer))
  channel.write(FrameKind.PROOF, proofOf(key, 'acceptor', transcript))
  return introduction(parts, key, 'acceptor', { peer, transcript })
}

function introduction(
  parts: HandshakeParts,
  key: ClusterKey | undefined,
  side: Side,
  { peer, transcript }: { readonly peer: Hello; readonly transcript: Uint8Array },
): Introduction {
  const { id, role, clusterId, uuid, bootEpoch, address } = peer
  return {
    peer: { id, role, clusterId, uuid, bootEpoch, address },
    keys: parts.encrypts ? key?.sessionKeys(side, transcript) : undefined,
  }
}

function ownHello({ identity, keyOf }: HandshakeParts, target: NodeId | 0): Hello {
  return { ...identity, target, hasSecret: keyOf !== undefined, nonce: randomBytes(NONCE_BYTES) }
}

function clusterMistake(own: PeerHello, peer: PeerHello): Refusal | undefined {
  const isAnyAdmin = [own, peer].some(({ role, clusterId }) => role === 'admin' && isZero(clusterId))
  if (isAnyAdmin || Buffer.compare(own.clusterId, peer.clusterId) === 0) return undefined
  const hex = Buffer.from(own.clusterId).toString('hex')
  return { code: 'CLUSTER', message: `this is a ${own.role} of cluster ${hex}` }
}

function secretMistake(peer: Hello, hasSecret: boolean): Refusal | undefined {
  if (peer.hasSecret === hasSecret) return undefined
  const message = hasSecret ? 'this cluster has a secret' : 'this cluster has no secret'
  return { code: 'SECRET_MISSING', message }
}

/** What is wrong with who answers, if anything. */
function answerMistake(peer: Hello, target: NodeId | 0): Refusal | undefined {
  if (target !== 0 && peer.id !== target)
    return { code: 'WRONG_NODE', message: `node ${peer.id} answers where node ${target} should` }
  if (peer.role !== 'node') return { code: 'DIRECTION', message: `a peer of role ${peer.role} answers` }
  return undefined
}

/** What is wrong with who calls, if anything. */
function callMistake(own: PeerHello, peer: Hello): Refusal | undefined {
  if (peer.id === own.id) return { code: 'SELF', message: `node ${own.id} is this one` }
  if (peer.target !== 0 && peer.target !== own.id)
    return { code: 'WRONG_NODE', message: `this is node ${own.id}, not node ${peer.target}` }
  if (peer.role === 'node' && peer.id < own.id)
    return { code: 'DIRECTION', message: `node ${own.id} dials node ${peer.id}, not the other way round` }
  return undefined
}

function proofOf(key: ClusterKey | undefined, side: Side, transcript: Uint8Array): Uint8Array {
  return key === undefined ? new Uint8Array(0) : key.proof(side, transcript)
}

function isProof(
  key: ClusterKey | undefined,
  side: Side,
  transcript: Uint8Array,
  proof: Uint8Array,
): boolean {
  return key === undefined ? proof.length === 0 : key.isProof(side, transcript, proof)
}

function refuseFor(refusal: Refusal | undefined): void {
  if (refusal !== undefined) throw new RefusedError(refusal, 'self')
}
