/** MatMulNBits weights into packed groups: codes, low nibble first, and a scale for each block of a row. */
import { halfTable } from "../gguf/half.ts";
import { BLOCK, GROUP } from "./abi.ts";
import type { MatrixForm } from "./decoder.ts";
import { asU16, asU32, type PackedViews, wordAt } from "./packed_views.ts";

/** A MatMulNBits form. */
export type NBitsForm = Extract<MatrixForm, { type: "nbits" }>;

/**
 * Packs rows of block-quantised weights.
 * @param parts codes, scales and, where the form has them, u8 zero points of `rows` rows of `k` weights.
 * @param out zeroed where the last group is not full.
 */
export function packNBits(
  form: NBitsForm,
  parts: readonly Uint8Array[],
  rows: number,
  k: number,
  out: PackedViews,
): void {
  const { bits, block } = form;
  const [codes, scales, zeros] = parts as [Uint8Array, Uint8Array, Uint8Array?];
  const scaleBits = scaleReader(form, scales);
  const blocks = Math.ceil(k / block);
  const codeStride = blocks * block * bits / 8;
  const zeroStride = Math.ceil(blocks * bits / 8);
  const codeBytes = BLOCK * bits / 8;
  const codeWords = 16 * codeBytes / 4;
  const halves = block === 16 ? 2 : 1;
  const h = form.scales === "f16" && form.zeroPoints === null && halves === 1;
  const outWords = codeWords + (h ? 8 : 20 * halves);
  let at = 0;
  for (let row0 = 0; row0 < rows; row0 += GROUP) {
    const lanes = Math.min(GROUP, rows - row0);
    for (let k0 = 0; k0 < k; k0 += BLOCK) {
      for (let lane = 0; lane < lanes; lane++) {
        const row = row0 + lane;
        const from = row * codeStride + k0 * bits / 8;
        if (bits === 4) pairNibbles(codes, from, out.u32, at + lane);
        else {
          for (let j = 0; j < 8; j++) {
            out.u32[at + 16 * j + lane] = wordAt(codes, from + 4 * j);
          }
        }
        const first = Math.floor(k0 / block);
        const to = at + codeWords;
        if (h) {
          out.u16[2 * to + lane] = scaleBits[row * blocks + first]!;
          continue;
        }
        for (let half = 0; half < halves; half++) {
          const each = first + half;
          const scale = scaleBits[row * blocks + each]!;
          out.u32[to + 16 * half + lane] = scale;
          out.u8[4 * (to + 16 * halves) + 16 * half + lane] = zeros === undefined
            ? 1 << bits - 1
            : bits === 8
            ? zeros[row * zeroStride + each]!
            : zeros[row * zeroStride + (each >> 1)]! >> 4 * (each & 1) & 15;
        }
      }
      at += outWords;
    }
  }
}

/** The scales' bits as they are written: f16, or f32, f16 ones widened. */
function scaleReader(form: NBitsForm, bytes: Uint8Array): Uint16Array | Uint32Array {
  if (form.scales === "f32") return asU32(bytes);
  const half = asU16(bytes);
  if (form.zeroPoints === null && form.block !== 16) return half;
  const table = halfTable();
  const out = new Float32Array(half.length);
  for (let i = 0; i < half.length; i++) out[i] = table[half[i]!]!;
  return new Uint32Array(out.buffer);
}

/** From neighbours in a byte to those 16 apart: the 32 codes at `from` into four words 16 apart. */
function pairNibbles(codes: Uint8Array, from: number, out: Uint32Array, to: number): void {
  for (let j = 0; j < 4; j++) {
    const low = codes[from + 2 * j]! | codes[from + 2 * j + 1]! << 8;
    const high = codes[from + 2 * j + 8]! | codes[from + 2 * j + 9]! << 8;
    out[to + 16 * j] = spreadNibbles(low) | spreadNibbles(high) << 4;
  }
}

/** Four nibbles to four bytes. */
function spreadNibbles(nibbles: number): number {
  const bytes = (nibbles | nibbles << 8) & 0x00ff00ff;
  return (bytes | bytes << 4) & 0x0f0f0f0f;
}
