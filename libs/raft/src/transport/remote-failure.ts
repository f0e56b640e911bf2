import { messageOf } from '@sluice/foundation'
import { RemoteError, type TransportOutcome } from './transport-error.js'

const CODE_BYTES_MAX = 64
const MESSAGE_BYTES_MAX = 1024

/*
 * The payload of an ERROR frame, behind the request's id:
 *
 *   outcome u8 (0 unknown, 1 no) | codeBytes u8 | code | message
 */

/** What the caller of a request is told of what its handler threw: text, `code` and `outcome`, no more. */
export function encodeRemoteFailure(error: unknown): Uint8Array {
  const { code, outcome } = (typeof error === 'object' && error !== null ? error : {}) as Record<
    string,
    unknown
  >
  const encoder = new TextEncoder()
  const bytes = new Uint8Array(2 + CODE_BYTES_MAX + MESSAGE_BYTES_MAX)
  bytes[0] = outcome === 'no' ? 1 : 0
  const codeBytes = encoder.encodeInto(
    typeof code === 'string' ? code : '',
    bytes.subarray(2, 2 + CODE_BYTES_MAX),
  ).written
  bytes[1] = codeBytes
  const at = 2 + codeBytes
  const { written } = encoder.encodeInto(messageOf(error), bytes.subarray(at, at + MESSAGE_BYTES_MAX))
  return bytes.subarray(0, at + written)
}

/** Never throws. */
export function decodeRemoteFailure(payload: Uint8Array): RemoteError {
  const outcome: TransportOutcome = payload[0] === 1 ? 'no' : 'unknown'
  const codeEnd = 2 + (payload[1] ?? 0)
  const decoder = new TextDecoder()
  const code = decoder.decode(payload.subarray(2, codeEnd))
  return new RemoteError(decoder.decode(payload.subarray(codeEnd, codeEnd + MESSAGE_BYTES_MAX)), {
    code,
    outcome,
  })
}
