/**
 * Writes keys and values into the pages of a KV cache. A page's chunk for one kv head is a part K,
 * then a part V, in f32, f16 or i8, laid out as attention reads them. K has the D values of
 * position 0, of position 1, … V has them in panels of eight: values 0 to 7 of position 0, of
 * position 1, …, then values 8 to 15, …
 *
 * In f16, of each eight, values 0 to 3 are the high halves of four words and 4 to 7 the low ones.
 * In i8 the values of positions 2i and 2i+1 alternate within a panel of V, and 64 f32, the
 * positions' scales, follow K and V each.
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
  const t = <usize>slot, row = <usize>D;
  if (kvType == KV_F32) storeF32(key, row, chunk + ((t * row) << 2), 32);
  else if (kvType == KV_F16) storeF16(key, row, chunk + ((t * row) << 1), 16);
  else store<f32>(chunk + <usize>PAGE * row + (t << 2), storeI8(key, row, chunk + t * row, 1, 8));
}

/** Stores D f32 (D % 8 == 0), a value, as position `slot` of the page. */
export function storeValue(kvType: i32, value: usize, chunk: usize, slot: i32, D: i32): void {
  const V = chunk + partBytes(kvType, D), t = <usize>slot, row = <usize>D;
  if (kvType == KV_F32) storeF32(value, row, V + (t << 5), 32 * PAGE);
  else if (kvType == KV_F16) storeF16(value, row, V + (t << 4), 16 * PAGE);
  else {
    const pair = V + ((t >> 1) << 4) + (t & 1);
    store<f32>(V + <usize>PAGE * row + (t << 2), storeI8(value, row, pair, 2, 8 * PAGE));
  }
}

/** Stores values by eights, `stride` bytes from one eight to the next. */
function storeF32(x: usize, n: usize, out: usize, stride: usize): void {
  for (const end = x + (n << 2); x < end; x += 32, out += stride) {
    v128.store(out, v128.load(x));
    v128.store(out, v128.load(x, 16), 16);
  }
}

function storeF16(x: usize, n: usize, out: usize, stride: usize): void {
  for (const end = x + (n << 2); x < end; x += 32, out += stride) {
    const a = f32ToF16(v128.load(x)), b = f32ToF16(v128.load(x, 16));
    v128.store(out, v128.or(i32x4.shl(a, 16), b));
  }
}

/** Also `step` bytes from one code to the next; returns the scale. */
function storeI8(x: usize, n: usize, out: usize, step: usize, stride: usize): f32 {
  const end = x + (n << 2), absmax = largest(x, end);
  const inverse = f32x4.splat(absmax > 0 ? <f32>127.0 / absmax : 0);
  for (; x < end; x += 32, out += stride) {
    storeCodes(code(v128.load(x), inverse), out, step);
    storeCodes(code(v128.load(x, 16), inverse), out + 4 * step, step);
  }
  return absmax / <f32>127.0;
}

@inline
function storeCodes(codes: v128, out: usize, step: usize): void {
  store<i8>(out, <i8>i32x4.extract_lane(codes, 0));
  store<i8>(out + step, <i8>i32x4.extract_lane(codes, 1));
  store<i8>(out + 2 * step, <i8>i32x4.extract_lane(codes, 2));
  store<i8>(out + 3 * step, <i8>i32x4.extract_lane(codes, 3));
}

/** The largest magnitude; NaN where there is one, so that the scale shows it. */
@inline
function largest(x: usize, end: usize): f32 {
  let m = f32x4.splat(0);
  for (; x < end; x += 16) m = f32x4.max(m, f32x4.abs(v128.load(x)));
  return hmaxOrNaN(m);
}

/** Codes of four values, within -127..127. */
@inline
function code(x: v128, inverse: v128): v128 {
  const codes = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(x, inverse)));
  return i32x4.max_s(i32x4.min_s(codes, i32x4.splat(127)), i32x4.splat(-127));
}
