/** The bytes that packers write, and small reads at any alignment. Hosts are little-endian. */

/** One run of bytes seen at every width that packing writes. */
export interface PackedViews {
  /** Bytes. */
  readonly u8: Uint8Array;
  /** f16 and bf16 bits. */
  readonly u16: Uint16Array;
  /** Four codes at a time, or f32 bits. */
  readonly u32: Uint32Array;
}

/**
 * Sees bytes at every width.
 * @throws {RangeError} where they do not begin or end at a multiple of 4.
 */
export function packedViews(u8: Uint8Array): PackedViews {
  const { buffer, byteOffset, length } = u8;
  return {
    u8,
    u16: new Uint16Array(buffer, byteOffset, length / 2),
    u32: new Uint32Array(buffer, byteOffset, length / 4),
  };
}

/** The four bytes at `at`. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24;
}

/** Bytes as u16; copied where they are not aligned. */
export function asU16(bytes: Uint8Array): Uint16Array {
  const { buffer, byteOffset } = byteOffsetOf(bytes, 2);
  return new Uint16Array(buffer, byteOffset, bytes.length / 2);
}

/** Bytes as u32; copied where they are not aligned. */
export function asU32(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset } = byteOffsetOf(bytes, 4);
  return new Uint32Array(buffer, byteOffset, bytes.length / 4);
}

function byteOffsetOf(bytes: Uint8Array, alignment: number): Uint8Array {
  return bytes.byteOffset % alignment === 0 ? bytes : bytes.slice();
}
