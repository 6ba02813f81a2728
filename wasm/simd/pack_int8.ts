/** 8-bit weights of dynamically quantised products into packed groups. */
import { BLOCK, GROUP } from "./abi.ts";
import type { MatrixForm } from "./decoder.ts";
import { asU32, type PackedViews, wordAt } from "./packed_views.ts";

/** A form of integer weights. */
export type Int8Form = Extract<MatrixForm, { type: "int8" }>;

/** Words of a block: 128 of codes, 16 of f32 scales, 4 of u8 zero points. */
const BLOCK_WORDS = 148;

/**
 * Packs rows of integer weights; a scale is repeated for each block of 32.
 * @param parts codes, [rows, k] or [k, rows]; f32 scales; zero points, 0 where there are none.
 * @param out zeroed where the last group is not full.
 */
export function packInt8(
  form: Int8Form,
  parts: readonly Uint8Array[],
  rows: number,
  k: number,
  out: PackedViews,
): void {
  const [codes, scaleBytes, zeros] = parts as [Uint8Array, Uint8Array, Uint8Array?];
  const scales = asU32(scaleBytes);
  const flip = form.signed ? 0x80808080 : 0;
  const { u8, u32 } = out;
  let at = 0;
  for (let row0 = 0; row0 < rows; row0 += GROUP) {
    const lanes = Math.min(GROUP, rows - row0);
    for (let k0 = 0; k0 < k; k0 += BLOCK) {
      if (form.transposed) gatherColumns(codes, rows, row0, lanes, k0, flip, u32, at);
      else copyRows(codes, k, row0, lanes, k0, flip, u32, at);
      for (let lane = 0; lane < lanes; lane++) {
        const row = row0 + lane;
        u32[at + 128 + lane] = scales[scales.length === 1 ? 0 : row]!;
        const zero = zeros === undefined ? 0 : zeros[zeros.length === 1 ? 0 : row]!;
        u8[4 * (at + 144) + lane] = zero ^ flip & 128;
      }
      at += BLOCK_WORDS;
    }
  }
}

function copyRows(
  codes: Uint8Array,
  k: number,
  row0: number,
  lanes: number,
  k0: number,
  flip: number,
  out: Uint32Array,
  at: number,
): void {
  for (let lane = 0; lane < lanes; lane++) {
    const from = (row0 + lane) * k + k0;
    for (let j = 0; j < 8; j++) out[at + 16 * j + lane] = wordAt(codes, from + 4 * j) ^ flip;
  }
}

function gatherColumns(
  codes: Uint8Array,
  rows: number,
  row0: number,
  lanes: number,
  k0: number,
  flip: number,
  out: Uint32Array,
  at: number,
): void {
  for (let j = 0; j < 8; j++) {
    const from = (k0 + 4 * j) * rows + row0;
    for (let lane = 0; lane < lanes; lane++) {
      const place = from + lane;
      out[at + 16 * j + lane] = flip ^ (codes[place]! | codes[place + rows]! << 8 |
        codes[place + 2 * rows]! << 16 | codes[place + 3 * rows]! << 24);
    }
  }
}
