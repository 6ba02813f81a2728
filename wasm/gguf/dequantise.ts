/** From the bytes of a GGUF tensor to f32: one row, or a whole matrix transposed for MatMul. */
import { rowQ4_0, rowQ4_1, rowQ5_0, rowQ5_1, rowQ8_0 } from "./dequantise_blocks.ts";
import { rowQ4_K, rowQ5_K, rowQ6_K } from "./dequantise_k.ts";
import { rowBF16, rowF16, rowF32 } from "./dequantise_plain.ts";
import { GGUF_TYPES, type GgufType, rowBytes } from "./types.ts";

type RowDequantiser = (
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
) => void;

const ROW: Record<GgufType, RowDequantiser> = {
  F32: rowF32,
  F16: rowF16,
  BF16: rowBF16,
  Q4_0: rowQ4_0,
  Q4_1: rowQ4_1,
  Q5_0: rowQ5_0,
  Q5_1: rowQ5_1,
  Q8_0: rowQ8_0,
  Q4_K: rowQ4_K,
  Q5_K: rowQ5_K,
  Q6_K: rowQ6_K,
};

/** Rows and weights of a tile: 32 rows fill two cache lines of each column, the tile fits in L1. */
const TILE_ROWS = 32;
const TILE_WEIGHTS = 256;
/** Between a tile's rows in scratch; not a power of two, so that they fall into different cache sets. */
const TILE_STRIDE = TILE_WEIGHTS + 16;

/**
 * Dequantises `k` weights of a row, bit for bit as ggml's reference does.
 * @param bytes holds the row's blocks from `offset` on.
 * @param out gets the weights from `outOffset` on.
 * @throws {RangeError} where `k` is not whole blocks, or the row or its place is out of bounds.
 */
export function dequantiseRow(
  type: GgufType,
  bytes: Uint8Array,
  offset: number,
  k: number,
  out: Float32Array,
  outOffset: number,
): void {
  const length = rowBytes(type, k);
  if (!(offset >= 0 && offset + length <= bytes.length)) {
    throw new RangeError(
      `Cannot dequantise ${k} ${type} weights at byte ${offset}: only ${bytes.length} bytes are there`,
    );
  }
  if (!(outOffset >= 0 && outOffset + k <= out.length)) {
    throw new RangeError(`Cannot store ${k} weights at ${outOffset}: the output has ${out.length}`);
  }
  ROW[type](bytes, offset, k, out, outOffset);
}

/**
 * Dequantises a tensor W [n, k] into its transpose: `out[i * n + row]` is weight i of the row, as
 * MatMul wants it. Works tile by tile, so that a written cache line is filled before it is left.
 * @throws {RangeError} where `k` is not whole blocks or the sizes do not fit.
 */
export function dequantiseTransposed(
  type: GgufType,
  bytes: Uint8Array,
  n: number,
  k: number,
  out: Float32Array,
): void {
  const stride = rowBytes(type, k);
  if (bytes.length < n * stride || out.length < n * k) {
    throw new RangeError(
      `Cannot dequantise ${type} [${n}, ${k}]: ${bytes.length} bytes in, room for ${out.length} out`,
    );
  }
  const { block, bytes: blockBytes } = GGUF_TYPES[type];
  const row = ROW[type];
  const tile = new Float32Array(TILE_ROWS * TILE_STRIDE);
  for (let n0 = 0; n0 < n; n0 += TILE_ROWS) {
    const rows = Math.min(TILE_ROWS, n - n0);
    for (let k0 = 0; k0 < k; k0 += TILE_WEIGHTS) {
      const weights = Math.min(TILE_WEIGHTS, k - k0);
      const first = k0 / block * blockBytes;
      for (let r = 0; r < rows; r++) {
        row(bytes, (n0 + r) * stride + first, weights, tile, r * TILE_STRIDE);
      }
      for (let i = 0; i < weights; i++) {
        const at = (k0 + i) * n + n0;
        for (let r = 0; r < rows; r++) out[at + r] = tile[r * TILE_STRIDE + i]!;
      }
    }
  }
}
