/**
 * GGUF's quantised rows into packed groups. Codes move as words of four: word j of a row's block goes to
 * word 16·j + row, so that a vector holds four rows. `wasm/gguf/dequantise_*.ts` describe the sources.
 */
import { kMinimum, kScale } from "../gguf/dequantise_k.ts";
import { type GgufType, rowBytes } from "../gguf/types.ts";
import { GROUP } from "./abi.ts";
import { type PackedViews, wordAt } from "./packed_views.ts";

/** Words of a block's 4-bit codes, or of the low nibbles of longer ones. */
const NIBBLE_WORDS = 64;

/**
 * Packs rows of a quantised GGUF type.
 * @param bytes `rows` rows of `k` weights.
 * @param out zeroed where the last group is not full.
 */
export function packGguf(
  type: Exclude<GgufType, "F32" | "F16" | "BF16">,
  bytes: Uint8Array,
  rows: number,
  k: number,
  out: PackedViews,
): void {
  const stride = rowBytes(type, k);
  switch (type) {
    case "Q4_0":
      return packBlocks(bytes, rows, stride, 18, false, false, out);
    case "Q4_1":
      return packBlocks(bytes, rows, stride, 20, true, false, out);
    case "Q5_0":
      return packBlocks(bytes, rows, stride, 22, false, true, out);
    case "Q5_1":
      return packBlocks(bytes, rows, stride, 24, true, true, out);
    case "Q8_0":
      return packQ8_0(bytes, rows, stride, out);
    case "Q4_K":
      return packK(bytes, rows, stride, 144, false, out);
    case "Q5_K":
      return packK(bytes, rows, stride, 176, true, out);
    case "Q6_K":
      return packQ6_K(bytes, rows, stride, out);
  }
}

/** Q4_0, Q4_1, Q5_0, Q5_1: a scale, a minimum if there is one, 32 high bits if there are, 16 bytes. */
function packBlocks(
  bytes: Uint8Array,
  rows: number,
  stride: number,
  blockBytes: number,
  minimum: boolean,
  high: boolean,
  out: PackedViews,
): void {
  const { u16, u32 } = out;
  const headBytes = minimum ? 4 : 2;
  const codeWords = NIBBLE_WORDS + (high ? 16 : 0);
  const outWords = codeWords + (minimum ? 16 : 8);
  let at = 0;
  for (let row0 = 0; row0 < rows; row0 += GROUP) {
    const lanes = Math.min(GROUP, rows - row0);
    for (let first = row0 * stride; first < row0 * stride + stride; first += blockBytes) {
      for (let lane = 0; lane < lanes; lane++) {
        const from = first + lane * stride;
        let codes = from + headBytes;
        if (high) {
          u32[at + NIBBLE_WORDS + lane] = fifthBits(bytes, codes);
          codes += 4;
        }
        u32[at + lane] = wordAt(bytes, codes);
        u32[at + 16 + lane] = wordAt(bytes, codes + 4);
        u32[at + 32 + lane] = wordAt(bytes, codes + 8);
        u32[at + 48 + lane] = wordAt(bytes, codes + 12);
        const scales = 2 * (at + codeWords);
        const scale = bytes[from]! | bytes[from + 1]! << 8;
        if (minimum) {
          u16[scales + pairIndex(lane)] = scale;
          u16[scales + pairIndex(lane) + 4] = bytes[from + 2]! | bytes[from + 3]! << 8;
        } else {
          u16[scales + lane] = scale;
        }
      }
      at += outWords;
    }
  }
}

/** Where among quads of four scales and four minima a lane's scale is. */
function pairIndex(lane: number): number {
  return (lane & 12) << 1 | lane & 3;
}

/** Bits 0 to 7 of a byte, the bits of codes 4·j + i, at bits 8·i + 2·j. */
const SPREAD = Uint32Array.from({ length: 256 }, (_, byte) => {
  let word = 0;
  for (let bit = 0; bit < 8; bit++) word |= (byte >> bit & 1) << 8 * (bit & 3) + 2 * (bit >> 2);
  return word;
});

/** The 32 fifth bits at `at`, code by code, as a word of the packed form. */
function fifthBits(bytes: Uint8Array, at: number): number {
  return SPREAD[bytes[at]!]! | SPREAD[bytes[at + 1]!]! << 4 |
    SPREAD[bytes[at + 2]!]! << 1 | SPREAD[bytes[at + 3]!]! << 5;
}

/** An f16 scale and 32 signed codes, which become unsigned. */
function packQ8_0(bytes: Uint8Array, rows: number, stride: number, out: PackedViews): void {
  const { u16, u32 } = out;
  let at = 0;
  for (let row0 = 0; row0 < rows; row0 += GROUP) {
    const lanes = Math.min(GROUP, rows - row0);
    for (let first = row0 * stride; first < row0 * stride + stride; first += 34) {
      for (let lane = 0; lane < lanes; lane++) {
        const from = first + lane * stride;
        for (let j = 0; j < 8; j++) {
          u32[at + 16 * j + lane] = wordAt(bytes, from + 2 + 4 * j) ^ 0x80808080;
        }
        u16[2 * at + 256 + lane] = bytes[from]! | bytes[from + 1]! << 8;
      }
      at += 136;
    }
  }
}

/** Q4_K and Q5_K: d, dmin, twelve bytes of scales and minima, 32 bytes of fifth bits, 128 of nibbles. */
function packK(
  bytes: Uint8Array,
  rows: number,
  stride: number,
  superBytes: number,
  high: boolean,
  out: PackedViews,
): void {
  const { u8, u16, u32 } = out;
  const codeWords = NIBBLE_WORDS + (high ? 16 : 0);
  const blockWords = codeWords + 8;
  let at = 0;
  for (let row0 = 0; row0 < rows; row0 += GROUP) {
    const lanes = Math.min(GROUP, rows - row0);
    for (let first = row0 * stride; first < row0 * stride + stride; first += superBytes) {
      for (let lane = 0; lane < lanes; lane++) {
        const from = first + lane * stride;
        for (let block = 0; block < 8; block++) {
          const to = at + block * blockWords;
          const codes = from + superBytes - 128 + 32 * (block >> 1);
          const shift = 4 * (block & 1);
          for (let j = 0; j < 4; j++) {
            u32[to + 16 * j + lane] = nibblePairs(bytes, codes + 4 * j, shift);
          }
          if (high) u32[to + NIBBLE_WORDS + lane] = fifthBitsK(bytes, from + 16, block);
          u8[4 * (to + codeWords) + lane] = kScale(bytes, from + 4, block);
          u8[4 * (to + codeWords) + 16 + lane] = kMinimum(bytes, from + 4, block);
        }
        const scales = 2 * (at + 8 * blockWords) + pairIndex(lane);
        u16[scales] = bytes[from]! | bytes[from + 1]! << 8;
        u16[scales + 4] = bytes[from + 2]! | bytes[from + 3]! << 8;
      }
      at += 8 * blockWords + 16;
    }
  }
}

/** Four nibbles from each of the words at `at` and 16 bytes on, those of `shift`: low and high nibbles. */
function nibblePairs(bytes: Uint8Array, at: number, shift: number): number {
  return wordAt(bytes, at) >>> shift & 0x0f0f0f0f |
    (wordAt(bytes, at + 16) >>> shift & 0x0f0f0f0f) << 4;
}

/** Bit `block` of each of the 32 bytes at `at`, as a word of the packed form. */
function fifthBitsK(bytes: Uint8Array, at: number, block: number): number {
  let word = 0;
  for (let j = 0; j < 4; j++) {
    word |= (wordAt(bytes, at + 4 * j) >>> block & 0x01010101) << 2 * j;
    word |= (wordAt(bytes, at + 16 + 4 * j) >>> block & 0x01010101) << 2 * j + 1;
  }
  return word;
}

/** 128 bytes of nibbles, 64 of the two bits above, 16 signed scales, d. */
function packQ6_K(bytes: Uint8Array, rows: number, stride: number, out: PackedViews): void {
  const { u8, u16, u32 } = out;
  let at = 0;
  for (let row0 = 0; row0 < rows; row0 += GROUP) {
    const lanes = Math.min(GROUP, rows - row0);
    for (let first = row0 * stride; first < row0 * stride + stride; first += 210) {
      for (let lane = 0; lane < lanes; lane++) {
        const from = first + lane * stride;
        for (let block = 0; block < 8; block++) {
          const to = at + 104 * block;
          // Of each half of the super-block, blocks 0, 2 and 1, 3 share bytes of nibbles.
          const low = from + 64 * (block >> 2) + 32 * (block & 1);
          const shift = 2 * (block & 2);
          for (let j = 0; j < 4; j++) {
            u32[to + 16 * j + lane] = nibblePairs(bytes, low + 4 * j, shift);
          }
          const high = from + 128 + 32 * (block >> 2);
          u32[to + 64 + lane] = highBits(bytes, high, 2 * (block & 3));
          u32[to + 80 + lane] = highBits(bytes, high + 16, 2 * (block & 3));
          u8[4 * to + 384 + lane] = bytes[from + 192 + 2 * block]!;
          u8[4 * to + 400 + lane] = bytes[from + 193 + 2 * block]!;
        }
        u16[2 * (at + 832) + lane] = bytes[from + 208]! | bytes[from + 209]! << 8;
      }
      at += 840;
    }
  }
}

/** Bits `shift` and `shift` + 1 of each of the 16 bytes at `at`, as a word of the packed form. */
function highBits(bytes: Uint8Array, at: number, shift: number): number {
  let word = 0;
  for (let j = 0; j < 4; j++) {
    word |= (wordAt(bytes, at + 4 * j) >>> shift & 0x03030303) << 2 * j;
  }
  return word;
}
