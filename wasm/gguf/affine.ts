/**
 * GGUF tensors as what they are underneath: runs of codes with a scale and, in some types, a minimum
 * each, w = (q - zero) · scale + minimum. Other runtimes want these three apart.
 */
import { dequantiseRow } from "./dequantise.ts";
import { kMinimum, kScale } from "./dequantise_k.ts";
import { halfTable } from "./half.ts";
import { GGUF_TYPES, type GgufType, rowBytes } from "./types.ts";

/** How a quantised type's weights are made of codes. */
export interface AffineType {
  /** Bits that hold a code. */
  readonly bits: 4 | 8;
  /** Weights that share a scale. */
  readonly run: number;
  /** Code of the weight `minimum`, or of 0 where there is none. */
  readonly zero: number;
  /** Scale of run `j` of the block at `at`. */
  scale(bytes: Uint8Array, at: number, j: number): number;
  /** Minimum of run `j` of the block at `at`; absent where the type has none. */
  minimum?(bytes: Uint8Array, at: number, j: number): number;
}

/** A tensor taken apart. */
export interface AffineParts {
  /** [N, K · bits / 8]: a byte each, or two of 4 bits to a byte, the low one first. */
  codes: Uint8Array;
  /** [N, K / run]. */
  scales: Float32Array;
  /** [K / run, N]: transposed, as a MatMul wants it. */
  minimums?: Float32Array;
}

const AFFINE: Partial<Record<GgufType, AffineType>> = {
  Q4_0: { bits: 4, run: 32, zero: 8, scale: half0 },
  Q4_1: { bits: 4, run: 32, zero: 0, scale: half0, minimum: half2 },
  Q5_0: { bits: 8, run: 32, zero: 128, scale: half0 },
  Q5_1: { bits: 8, run: 32, zero: 0, scale: half0, minimum: half2 },
  Q8_0: { bits: 8, run: 32, zero: 128, scale: half0 },
  Q4_K: { bits: 4, run: 32, zero: 0, scale: scaleK, minimum: minimumK },
  Q5_K: { bits: 8, run: 32, zero: 0, scale: scaleK, minimum: minimumK },
  Q6_K: {
    bits: 8,
    run: 16,
    zero: 128,
    scale: (bytes, at, j) => halfAt(bytes, at + 208) * (bytes[at + 192 + j]! << 24 >> 24),
  },
};

/** How a type is made of codes; undefined for the types of floating point. */
export function affineType(type: GgufType): AffineType | undefined {
  return AFFINE[type];
}

/**
 * Takes a tensor [N, K] apart. A code is found again from its weight: ggml rounds the weight once, by
 * less than half a step wherever codes tell weights apart at all.
 * @param out is filled; parts that are left out are not made.
 */
export function takeApart(
  type: GgufType,
  bytes: Uint8Array,
  n: number,
  k: number,
  out: Partial<AffineParts>,
): void {
  const { bits, run, zero, scale, minimum } = AFFINE[type]!;
  const { block, bytes: blockBytes } = GGUF_TYPES[type];
  const stride = rowBytes(type, k);
  const runs = k / run;
  const weights = new Float32Array(k);
  const largest = 2 ** bits - 1;
  for (let row = 0; row < n; row++) {
    if (out.codes) dequantiseRow(type, bytes, row * stride, k, weights, 0);
    for (let r = 0; r < runs; r++) {
      const at = row * stride + Math.floor(r * run / block) * blockBytes;
      const j = r % (block / run);
      const d = scale(bytes, at, j);
      const m = minimum ? minimum(bytes, at, j) : 0;
      if (out.scales) out.scales[row * runs + r] = d;
      if (out.minimums) out.minimums[r * n + row] = m;
      if (!out.codes) continue;
      for (let i = r * run; i < (r + 1) * run; i++) {
        const q = d === 0 ? zero : Math.round((weights[i]! - m) / d) + zero;
        const code = Math.max(0, Math.min(largest, q));
        const place = row * k + i;
        if (bits === 8) out.codes[place] = code;
        else if (i & 1) out.codes[place >> 1]! |= code << 4;
        else out.codes[place >> 1] = code;
      }
    }
  }
}

function halfAt(bytes: Uint8Array, at: number): number {
  return halfTable()[bytes[at]! | bytes[at + 1]! << 8]!;
}

function half0(bytes: Uint8Array, at: number): number {
  return halfAt(bytes, at);
}

function half2(bytes: Uint8Array, at: number): number {
  return halfAt(bytes, at + 2);
}

function scaleK(bytes: Uint8Array, at: number, j: number): number {
  return halfAt(bytes, at) * kScale(bytes, at + 4, j);
}

function minimumK(bytes: Uint8Array, at: number, j: number): number {
  return -halfAt(bytes, at + 2) * kMinimum(bytes, at + 4, j);
}
