import { AdminProtocolError, type FailOutcome } from './errors.js'

/** What an operator can ask of a running node. Addresses are `host:port`. */
export type AdminRequest =
  | { readonly kind: 'status' }
  | { readonly kind: 'add'; readonly address: string }
  | { readonly kind: 'remove'; readonly address: string }
  | { readonly kind: 'transfer'; readonly address: string }
  | { readonly kind: 'set-version'; readonly version: number }
  | { readonly kind: 'compact' }

/** A value of the status; JSON. */
export type AdminValue = string | number | boolean | null

export type AdminResponse =
  | { readonly kind: 'ok'; readonly message: string; readonly values: Readonly<Record<string, AdminValue>> }
  | {
      readonly kind: 'refused'
      readonly code: string
      /** 'no': nothing was changed. 'unknown': it may have been, or may still be. */
      readonly outcome: FailOutcome
      readonly message: string
    }

/** Bytes of one request; a longer one is refused unread. */
export const ADMIN_REQUEST_BYTES_MAX = 4096
/** Bytes of one answer. */
const ADMIN_RESPONSE_BYTES_MAX = 1024 * 1024

const FORMAT = 1
const ADDRESS_LENGTH_MAX = 512
const VERSION_MAX = 1_000_000

/** A request as JSON in UTF-8. */
export function encodeAdminRequest(request: AdminRequest): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ format: FORMAT, ...request }))
}

/** @throws AdminProtocolError */
export function decodeAdminRequest(bytes: Uint8Array): AdminRequest {
  const value = parse(bytes, ADMIN_REQUEST_BYTES_MAX)
  const kind = value['kind']
  switch (kind) {
    case 'status':
    case 'compact':
      return { kind }
    case 'add':
    case 'remove':
    case 'transfer': {
      const address = value['address']
      if (typeof address !== 'string' || address === '' || address.length > ADDRESS_LENGTH_MAX)
        throw new AdminProtocolError(`a request to ${kind} needs an address`)
      return { kind, address }
    }
    case 'set-version': {
      const version = value['version']
      if (!isVersion(version)) throw new AdminProtocolError('a code version is a whole number of at least 0')
      return { kind, version }
    }
    default:
      throw new AdminProtocolError('the request is of an unknown kind')
  }
}

export function encodeAdminResponse(response: AdminResponse): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ format: FORMAT, ...response }))
}

/** @throws AdminProtocolError */
export function decodeAdminResponse(bytes: Uint8Array): AdminResponse {
  const value = parse(bytes, ADMIN_RESPONSE_BYTES_MAX)
  const { kind, message, code, outcome, values } = value
  if (typeof message !== 'string') throw new AdminProtocolError('the answer has no message')
  if (kind === 'refused' && typeof code === 'string' && (outcome === 'no' || outcome === 'unknown'))
    return { kind, code, outcome, message }
  if (kind !== 'ok' || !isObject(values)) throw new AdminProtocolError('the answer is of an unknown kind')
  const entries = Object.entries(values)
  for (const [name, entry] of entries)
    if (!isAdminValue(entry)) throw new AdminProtocolError(`the answer's ${name} is no plain value`)
  return { kind, message, values: Object.fromEntries(entries) as Record<string, AdminValue> }
}

export function isVersion(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= VERSION_MAX
}

function parse(bytes: Uint8Array, bytesMax: number): Record<string, unknown> {
  if (bytes.length > bytesMax)
    throw new AdminProtocolError(`a message of ${bytes.length} bytes is over the bound of ${bytesMax} bytes`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new AdminProtocolError('the message is no JSON', { cause })
  }
  if (!isObject(value) || value['format'] !== FORMAT)
    throw new AdminProtocolError('the message is of another version of the admin protocol')
  return value
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isAdminValue(value: unknown): value is AdminValue {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}
