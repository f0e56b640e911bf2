/**
 * One-dimensional arrays in the binary form of PostgreSQL (`array_recv`), big endian:
 *
 *     dimensions i32 = 1 | has nulls i32 = 0 | element type i32 | length i32 | lower bound i32 = 1
 *     per element: size i32, bytes
 *
 * `pg` sends a Buffer as it is, so this spares writing bytes as hex and numbers as text.
 */
const HEADER_BYTES = 20
const INT4_OID = 23
const INT8_OID = 20
const BYTEA_OID = 17

/** For a parameter of type `integer[]`. */
export function int4Array(values: readonly number[]): Buffer {
  const buffer = withHeader(values.length, INT4_OID, values.length * 8)
  let at = HEADER_BYTES
  for (const value of values) {
    buffer.writeInt32BE(4, at)
    buffer.writeInt32BE(value, at + 4)
    at += 8
  }
  return buffer
}

/** For a parameter of type `bigint[]`; the values are safe integers. */
export function int8Array(values: readonly number[]): Buffer {
  const buffer = withHeader(values.length, INT8_OID, values.length * 12)
  let at = HEADER_BYTES
  for (const value of values) {
    buffer.writeInt32BE(8, at)
    const high = Math.floor(value / 0x1_0000_0000)
    buffer.writeInt32BE(high, at + 4)
    buffer.writeUInt32BE(value - high * 0x1_0000_0000, at + 8)
    at += 12
  }
  return buffer
}

/** For a parameter of type `bytea[]`; copies the bytes. */
export function byteaArray(values: readonly Uint8Array[]): Buffer {
  let sizeBytes = 0
  for (const value of values) sizeBytes += 4 + value.length
  const buffer = withHeader(values.length, BYTEA_OID, sizeBytes)
  let at = HEADER_BYTES
  for (const value of values) {
    buffer.writeInt32BE(value.length, at)
    buffer.set(value, at + 4)
    at += 4 + value.length
  }
  return buffer
}

function withHeader(length: number, elementOid: number, sizeBytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + sizeBytes)
  for (const [position, word] of [1, 0, elementOid, length, 1].entries())
    buffer.writeInt32BE(word, position * 4)
  return buffer
}
