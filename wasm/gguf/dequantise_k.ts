/**
 * Rows of ggml's K-quants, super-blocks of 256 weights. After `dequantize_row_q4_K`, `_q5_K` and `_q6_K`
 * of ggml's `ggml-quants.c`, bit for bit: the products of an f16, a 6-bit or 8-bit scale and a code are
 * exact in f32, so the only rounding is the one that stores the result.
 */
import { halfTable } from "./half.ts";

const BLOCK = 256;

/** Scale of sub-block `j` (0 to 7): six bits out of the twelve bytes at `at`. */
export function kScale(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j]! & 63 : bytes[at + j + 4]! & 15 | (bytes[at + j - 4]! >> 6) << 4;
}

/** Minimum of sub-block `j` (0 to 7): six bits out of the twelve bytes at `at`. */
export function kMinimum(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j + 4]! & 63 : bytes[at + j + 4]! >> 4 | (bytes[at + j]! >> 6) << 4;
}

/** d, dmin (f16), scales [12], codes [128]: d · scale · q - dmin · minimum, eight sub-blocks of 32. */
export function rowQ4_K(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const half = halfTable();
  const end = outOffset + k;
  for (; outOffset < end; outOffset += BLOCK, offset += 144) {
    const d = half[bytes[offset]! | bytes[offset + 1]! << 8]!;
    const dmin = half[bytes[offset + 2]! | bytes[offset + 3]! << 8]!;
    for (let pair = 0; pair < 4; pair++) {
      const d1 = d * kScale(bytes, offset + 4, 2 * pair);
      const m1 = dmin * kMinimum(bytes, offset + 4, 2 * pair);
      const d2 = d * kScale(bytes, offset + 4, 2 * pair + 1);
      const m2 = dmin * kMinimum(bytes, offset + 4, 2 * pair + 1);
      const codes = offset + 16 + 32 * pair;
      const at = outOffset + 64 * pair;
      for (let l = 0; l < 32; l++) {
        const q = bytes[codes + l]!;
        out[at + l] = d1 * (q & 15) - m1;
        out[at + 32 + l] = d2 * (q >> 4) - m2;
      }
    }
  }
}

/** As Q4_K with a fifth bit of each code in high [32], between scales and codes. */
export function rowQ5_K(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const half = halfTable();
  const end = outOffset + k;
  for (; outOffset < end; outOffset += BLOCK, offset += 176) {
    const d = half[bytes[offset]! | bytes[offset + 1]! << 8]!;
    const dmin = half[bytes[offset + 2]! | bytes[offset + 3]! << 8]!;
    const high = offset + 16;
    for (let pair = 0; pair < 4; pair++) {
      const d1 = d * kScale(bytes, offset + 4, 2 * pair);
      const m1 = dmin * kMinimum(bytes, offset + 4, 2 * pair);
      const d2 = d * kScale(bytes, offset + 4, 2 * pair + 1);
      const m2 = dmin * kMinimum(bytes, offset + 4, 2 * pair + 1);
      const codes = offset + 48 + 32 * pair;
      const at = outOffset + 64 * pair;
      for (let l = 0; l < 32; l++) {
        const q = bytes[codes + l]!;
        const h = bytes[high + l]! >> 2 * pair;
        out[at + l] = d1 * (q & 15 | (h & 1) << 4) - m1;
        out[at + 32 + l] = d2 * (q >> 4 | (h & 2) << 3) - m2;
      }
    }
  }
}

/** low [128], high [64], i8 scales [16], d (f16): d · scale · (q - 32), sixteen sub-blocks of 16. */
export function rowQ6_K(
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const half = halfTable();
  const end = outOffset + k;
  for (; outOffset < end; outOffset += BLOCK, offset += 210) {
    const d = half[bytes[offset + 208]! | bytes[offset + 209]! << 8]!;
    // Of each half (128 weights), the codes of runs 0, 2 and 1, 3 of 32 weights share bytes; a run has
    // two scales, one for each 16.
    for (let quarter = 0; quarter < 4; quarter++) {
      const part = quarter >> 1;
      const first = (quarter & 1) << 4;
      const low = offset + 64 * part + first;
      const high = offset + 128 + 32 * part + first;
      const scales = offset + 192 + 8 * part + (quarter & 1);
      const d1 = d * (bytes[scales]! << 24 >> 24);
      const d2 = d * (bytes[scales + 2]! << 24 >> 24);
      const d3 = d * (bytes[scales + 4]! << 24 >> 24);
      const d4 = d * (bytes[scales + 6]! << 24 >> 24);
      const at = outOffset + 128 * part + first;
      for (let l = 0; l < 16; l++) {
        const a = bytes[low + l]!;
        const b = bytes[low + 32 + l]!;
        const h = bytes[high + l]!;
        out[at + l] = d1 * ((a & 15 | (h & 3) << 4) - 32);
        out[at + 32 + l] = d2 * ((b & 15 | (h & 12) << 2) - 32);
        out[at + 64 + l] = d3 * ((a >> 4 | h & 48) - 32);
        out[at + 96 + l] = d4 * ((b >> 4 | (h & 192) >> 2) - 32);
      }
    }
  }
}
