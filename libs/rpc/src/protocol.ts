import { BUILD_VERSION } from '@sluice/foundation'

/**
 * Versions of the frames that this build speaks, the newest first. The caller offers all of its own in the
 * hello, the callee takes the newest that it speaks too, and it holds for every frame of the connection.
 */
export const PROTOCOL_VERSIONS: readonly number[] = [2, 1]

const NAME = 'sluice-rpc'
const OFFERED_MAX = 16

/** For the `Upgrade` header of a caller. */
export const OFFER = PROTOCOL_VERSIONS.map(protocolName).join(', ')

export function protocolName(version: number): string {
  return `${NAME}/${version}`
}

/** The newest version that both sides speak, out of what an `Upgrade` header offers or says. */
export function commonVersion(header: string | undefined): number | undefined {
  const offered = (header ?? '').split(',', OFFERED_MAX).map((name) => name.trim())
  return PROTOCOL_VERSIONS.find((version) => offered.includes(protocolName(version)))
}

/** What is said to, and of, a process with which no version is in common. */
export function mismatchText(peer: { readonly speaks: string; readonly build: string }): string {
  const build = peer.build === '' ? 'another version' : `version ${peer.build}`
  return `version ${BUILD_VERSION} speaks ${OFFER}, the peer, ${build}, speaks ${peer.speaks === '' ? 'nothing known' : peer.speaks.slice(0, 200)}: upgrade the older one, one version at a time`
}
