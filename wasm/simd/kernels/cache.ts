/**
 * Writes keys and values into the pages of a KV cache. A page's chunk for one kv head is a part K, then a part V,
 * in f32, f16 or i8. K has the D values of position 0, of position 1, … V has them in panels of eight: values 0 to 7
 * of position 0, of position 1, …, then values 8 to 15; so what attention reads at a time lies together. In i8, 64
 * f32 follow each part, the scales of its positions.
 */
import { KV_F16, KV_F32, PAGE } from "../abi";
import { f32ToF16, hmaxOrNaN } from "./math";

/** Bytes of the K or V part of a chunk. */
@inline
export function partBytes(kvType: i32, D: i32): usize {
  if (kvType == KV_F32) return <usize>(PAGE * D) << 2;
  if (kvType == KV_F16) return <usize>(PAGE * D) << 1;
  return <usize>(PAGE * D + PAGE * 4);
}

/** Stores D f32 (D % 8 == 0), a rotated key, as position `slot` of the page. */
export function storeKey(kvType: i32, key: usize, chunk: usize, slot: i32, D: i32): void {
  storeRow(kvType, key, chunk, <usize>slot * <usize>D, 8, <usize>slot, <usize>D);
}

/** Stores D f32 (D % 8 == 0), a value, as position `slot` of the page. */
export function storeValue(kvType: i32, value: usize, chunk: usize, slot: i32, D: i32): void {
  storeRow(kvType, value, chunk + partBytes(kvType, D), <usize>slot * 8, 8 * PAGE, <usize>slot, <usize>D);
}

/** Stores D f32 by eights: from `at` on, `stride` values from one to the next. */
function storeRow(kvType: i32, x: usize, part: usize, at: usize, stride: usize, slot: usize, D: usize): void {
  const end = x + (D << 2);
  if (kvType == KV_F32) {
    for (let out = part + (at << 2); x < end; x += 32, out += stride << 2) {
      v128.store(out, v128.load(x));
      v128.store(out, v128.load(x, 16), 16);
    }
  } else if (kvType == KV_F16) {
    for (let out = part + (at << 1); x < end; x += 32, out += stride << 1) {
      const a = f32ToF16(v128.load(x)), b = f32ToF16(v128.load(x, 16));
      v128.store(out, v128.shuffle<i16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14));
    }
  } else {
    const absmax = largest(x, end), inverse = f32x4.splat(absmax > 0 ? <f32>127.0 / absmax : <f32>0);
    for (let out = part + at; x < end; x += 32, out += stride) {
      const words = i16x8.narrow_i32x4_s(code(v128.load(x), inverse), code(v128.load(x, 16), inverse));
      v128.store64_lane(out, i8x16.narrow_i16x8_s(words, words), 0);
    }
    store<f32>(part + <usize>PAGE * D + (slot << 2), absmax / <f32>127.0);
  }
}

/** The largest magnitude; NaN where there is one, so that the scale shows it. */
@inline
function largest(x: usize, end: usize): f32 {
  let m = f32x4.splat(0);
  for (; x < end; x += 16) m = f32x4.max(m, f32x4.abs(v128.load(x)));
  return hmaxOrNaN(m);
}

@inline
function code(x: v128, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(x, inverse)));
}
