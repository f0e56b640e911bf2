export const REQUEST_ID_BYTES = 16

/** @param hex 32 digits */
export function writeRequestId(into: Uint8Array, at: number, hex: string): void {
  for (let i = 0; i < REQUEST_ID_BYTES; i++) into[at + i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16)
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

export function readRequestId(from: Uint8Array, at: number): string {
  let hex = ''
  for (let i = 0; i < REQUEST_ID_BYTES; i++) hex += HEX[from[at + i]!]!
  return hex
}
