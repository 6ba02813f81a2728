/**
 * Rows of ggml's first quantised types, blocks of 32 weights: an f16 scale `d`, in the `_1` types an f16
 * minimum `m`, then the codes. After `dequantize_row_q*` of ggml's `ggml-quants.c`, bit for bit: every
 * product of an f16 and a code is exact in f32, so the only rounding is the one that stores the sum.
 */
import { halfTable } from "./half.ts";

const BLOCK = 32;
const HALF_BLOCK = 16;

/** 4-bit codes: d · (q - 8). */
export function rowQ4_0(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const half = halfTable();
  const end = outOffset + k;
  for (; outOffset < end; outOffset += BLOCK, offset += 18) {
    const d = half[bytes[offset]! | bytes[offset + 1]! << 8]!;
    for (let j = 0; j < HALF_BLOCK; j++) {
      const q = bytes[offset + 2 + j]!;
      out[outOffset + j] = ((q & 15) - 8) * d;
      out[outOffset + HALF_BLOCK + j] = ((q >> 4) - 8) * d;
    }
  }
}

/** 4-bit codes: d · q + m. */
export function rowQ4_1(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const half = halfTable();
  const end = outOffset + k;
  for (; outOffset < end; outOffset += BLOCK, offset += 20) {
    const d = half[bytes[offset]! | bytes[offset + 1]! << 8]!;
    const m = half[bytes[offset + 2]! | bytes[offset + 3]! << 8]!;
    for (let j = 0; j < HALF_BLOCK; j++) {
      const q = bytes[offset + 4 + j]!;
      out[outOffset + j] = (q & 15) * d + m;
      out[outOffset + HALF_BLOCK + j] = (q >> 4) * d + m;
    }
  }
}

/** 5-bit codes, their high bits in a u32: d · (q - 16). */
export function rowQ5_0(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const half = halfTable();
  const end = outOffset + k;
  for (; outOffset < end; outOffset += BLOCK, offset += 22) {
    const d = half[bytes[offset]! | bytes[offset + 1]! << 8]!;
    const low = bytes[offset + 2]! | bytes[offset + 3]! << 8;
    const high = bytes[offset + 4]! | bytes[offset + 5]! << 8;
    for (let j = 0; j < HALF_BLOCK; j++) {
      const q = bytes[offset + 6 + j]!;
      out[outOffset + j] = ((q & 15 | (low >> j & 1) << 4) - 16) * d;
      out[outOffset + HALF_BLOCK + j] = ((q >> 4 | (high >> j & 1) << 4) - 16) * d;
    }
  }
}

/** 5-bit codes, their high bits in a u32: d · q + m. */
export function rowQ5_1(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const half = halfTable();
  const end = outOffset + k;
  for (; outOffset < end; outOffset += BLOCK, offset += 24) {
    const d = half[bytes[offset]! | bytes[offset + 1]! << 8]!;
    const m = half[bytes[offset + 2]! | bytes[offset + 3]! << 8]!;
    const low = bytes[offset + 4]! | bytes[offset + 5]! << 8;
    const high = bytes[offset + 6]! | bytes[offset + 7]! << 8;
    for (let j = 0; j < HALF_BLOCK; j++) {
      const q = bytes[offset + 8 + j]!;
      out[outOffset + j] = (q & 15 | (low >> j & 1) << 4) * d + m;
      out[outOffset + HALF_BLOCK + j] = (q >> 4 | (high >> j & 1) << 4) * d + m;
    }
  }
}

/** Signed 8-bit codes: d · q. */
export function rowQ8_0(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const half = halfTable();
  const end = outOffset + k;
  for (; outOffset < end; outOffset += BLOCK, offset += 34) {
    const d = half[bytes[offset]! | bytes[offset + 1]! << 8]!;
    for (let j = 0; j < BLOCK; j++) out[outOffset + j] = (bytes[offset + 2 + j]! << 24 >> 24) * d;
  }
}
