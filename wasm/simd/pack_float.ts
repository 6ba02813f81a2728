/** f32, f16 and bf16 weights into packed groups: for each k the 16 values of the group, bits unchanged. */
import { GROUP } from "./abi.ts";
import { asU16, asU32, type PackedViews } from "./packed_views.ts";

/** Values of a row that are moved together: a cache line of f32. */
const TILE = 16;

/**
 * Packs floating-point rows.
 * @param width bytes of a value.
 * @param bytes [rows, k], or [k, rows] where `transposed`.
 * @param out zeroed where the last group is not full.
 */
export function packFloat(
  width: 2 | 4,
  transposed: boolean,
  bytes: Uint8Array,
  rows: number,
  k: number,
  out: PackedViews,
): void {
  const from = width === 4 ? asU32(bytes) : asU16(bytes);
  const to = width === 4 ? out.u32 : out.u16;
  if (transposed) packColumns(from, rows, k, to);
  else packRows(from, rows, k, to);
}

type Values = Uint32Array | Uint16Array;

function packRows(from: Values, rows: number, k: number, to: Values): void {
  for (let row0 = 0; row0 < rows; row0 += GROUP) {
    const lanes = Math.min(GROUP, rows - row0);
    for (let k0 = 0; k0 < k; k0 += TILE) {
      const k1 = Math.min(k, k0 + TILE);
      for (let lane = 0; lane < lanes; lane++) {
        const row = (row0 + lane) * k;
        const column = row0 * k + lane;
        for (let i = k0; i < k1; i++) to[column + GROUP * i] = from[row + i]!;
      }
    }
  }
}

function packColumns(from: Values, rows: number, k: number, to: Values): void {
  for (let row0 = 0; row0 < rows; row0 += GROUP) {
    const lanes = Math.min(GROUP, rows - row0);
    for (let i = 0; i < k; i++) {
      const at = row0 * k + GROUP * i;
      const column = i * rows + row0;
      for (let lane = 0; lane < lanes; lane++) to[at + lane] = from[column + lane]!;
    }
  }
}
