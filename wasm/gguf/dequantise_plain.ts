/** Rows of GGUF's unquantised types: little-endian f32, f16 and bf16 at any byte offset. */
import { halfTable } from "./half.ts";

/** Copies a row of f32. */
export function rowF32(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  new Uint8Array(out.buffer, out.byteOffset + 4 * outOffset, 4 * k)
    .set(bytes.subarray(offset, offset + 4 * k));
}

/** Widens a row of f16. */
export function rowF16(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const half = halfTable();
  for (let i = 0; i < k; i++) {
    const at = offset + 2 * i;
    out[outOffset + i] = half[bytes[at]! | bytes[at + 1]! << 8]!;
  }
}

/** Widens a row of bf16: the upper half of an f32. */
export function rowBF16(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset + 4 * outOffset, k);
  for (let i = 0; i < k; i++) {
    const at = offset + 2 * i;
    bits[i] = (bytes[at]! | bytes[at + 1]! << 8) << 16;
  }
}
