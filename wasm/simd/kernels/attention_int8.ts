/**
 * Attention over a page of an i8 cache in integers: the queries of a row, and the powers of a page
 * times the scales of its values, become 14- and 16-bit integers with a scale each, far finer than
 * the cache. Products and sums are exact.
 */
import { KV_I8, PAGE } from "../abi";
import { lanesWithin, partialBytes, rowsOf, SCORES } from "./attention_rows";
import { partBytes } from "./cache";
import { exp, hmax, hmaxOrNaN, hsum } from "./math";

/** The largest query: 2048 products with codes fit 32 bits. */
const Q_MAX: f32 = 8191;
/** The largest weight of a value: 64 products with codes fit 32 bits. */
const P_MAX: f32 = 32767;
/** Rows whose largest number is below count as zeros, lest its reciprocal be infinite. */
const TINY: f32 = 1e-30;
/** 1.5 · 2^23. */
const MAGIC: f32 = 12582912.0;
/** Offset of the weights' scale in a row of scores. */
const WEIGHTS_SCALE: usize = 256;

/** attendPage() for as many rows as R stands for. */
export function attendInt8Tile<R>(
  q: usize,
  D: i32,
  chunk: usize,
  first: i32,
  count: i32,
  scratch: usize,
  out: usize,
): void {
  const from = first & 3, to = from + count, start = first - from, width = <usize>D << 2;
  const V = chunk + partBytes(KV_I8, D), scales = <usize>(PAGE * D + (start << 2));
  const queries = scratch + 4 * SCORES;
  for (let i = 0; i < rowsOf<R>(); i++) {
    // The scale of the queries waits where the greatest score will be.
    const state = out + <usize>i * partialBytes(D) + width;
    store<f32>(state, quantiseQuery<R>(q + <usize>i * width, D, queries + <usize>(i << 4)));
  }
  scores<R>(queries, D, chunk + <usize>(start * D), to, scratch);
  for (let i = 0; i < rowsOf<R>(); i++) {
    const state = out + <usize>i * partialBytes(D) + width;
    softmax(scratch + <usize>i * SCORES, from, to, chunk + scales, V + scales, state);
  }
  values<R>(scratch, D, V + <usize>(start << 3), to, out);
}

/**
 * Nearest integers of values below 2^22: the lowest bits of their sums with 1.5 · 2^23. `magic` is
 * that number, a variable, as all vectors are that loops use: V8 makes constants anew each time.
 */
@inline
function rounded(x: v128, magic: v128): v128 {
  return i32x4.sub(f32x4.add(x, magic), magic);
}

/** A row of D f32 as i16, eight values of each of the tile's rows in turn; returns their scale. */
@inline
function quantiseQuery<R>(q: usize, D: i32, to: usize): f32 {
  const end = q + (<usize>D << 2), magic = f32x4.splat(MAGIC);
  // Magnitudes compare as unsigned integers, NaN above all.
  let m = i32x4.splat(0);
  for (let p = q; p < end; p += 16) m = i32x4.max_u(m, f32x4.abs(v128.load(p)));
  const largest = hmaxOrNaN(m), factor = f32x4.splat(largest > TINY ? Q_MAX / largest : 0);
  for (; q < end; q += 32, to += 16 * rowsOf<R>()) {
    const low = rounded(f32x4.mul(v128.load(q), factor), magic);
    const high = rounded(f32x4.mul(v128.load(q, 16), factor), magic);
    v128.store(to, i16x8.narrow_i32x4_s(low, high));
  }
  return largest / Q_MAX;
}

@inline
function madd(sum: v128, a: v128, b: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b));
}

/** Lanes 0 + 2 and 1 + 3 of a, then those of b. */
@inline
function fold(a: v128, b: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(a, b, 0, 1, 4, 5), v128.shuffle<i32>(a, b, 2, 3, 6, 7));
}

/** q·k with `count` keys, two at a time: for each row and key two sums that add up to it. */
@inline
function scores<R>(q: usize, D: i32, K: usize, count: i32, scratch: usize): void {
  const row = <usize>D, z = i32x4.splat(0);
  for (let t = 0; t < count; t += 2, K += row, scratch += 16) {
    let a0 = z, a1 = z, b0 = z, b1 = z, c0 = z, c1 = z, d0 = z, d1 = z, x = q;
    for (const end = K + row; K < end; K += 8, x += 16 * rowsOf<R>()) {
      const u = v128.load_ext<i8>(K), v = v128.load_ext<i8>(K + row);
      let y = v128.load(x);
      a0 = madd(a0, u, y);
      a1 = madd(a1, v, y);
      if (rowsOf<R>() > 1) {
        y = v128.load(x, 16);
        b0 = madd(b0, u, y);
        b1 = madd(b1, v, y);
      }
      if (rowsOf<R>() > 2) {
        y = v128.load(x, 32);
        c0 = madd(c0, u, y);
        c1 = madd(c1, v, y);
      }
      if (rowsOf<R>() > 3) {
        y = v128.load(x, 48);
        d0 = madd(d0, u, y);
        d1 = madd(d1, v, y);
      }
    }
    v128.store(scratch, fold(a0, a1));
    if (rowsOf<R>() > 1) v128.store(scratch, fold(b0, b1), SCORES);
    if (rowsOf<R>() > 2) v128.store(scratch, fold(c0, c1), 2 * SCORES);
    if (rowsOf<R>() > 3) v128.store(scratch, fold(d0, d1), 3 * SCORES);
  }
}

/**
 * A row of scores to weights of the values, i16: e^(score - m) times the value's scale, over a
 * scale of their own that is left after them. None outside from..to-1. The greatest score m and the
 * sum of the powers go to out.
 */
@inline
function softmax(
  scratch: usize,
  from: i32,
  to: i32,
  kScales: usize,
  vScales: usize,
  out: usize,
): void {
  const none = f32x4.splat(-Infinity), scale = f32x4.splat(load<f32>(out)), end = <usize>to << 2;
  let m = none, i: usize = 0;
  for (; i < end; i += 16) {
    const a = v128.load(scratch + 2 * i), b = v128.load(scratch + 2 * i, 16);
    const sum = i32x4.add(v128.shuffle<i32>(a, b, 0, 2, 4, 6), v128.shuffle<i32>(a, b, 1, 3, 5, 7));
    let x = f32x4.mul(f32x4.convert_i32x4_s(sum), f32x4.mul(v128.load(kScales + i), scale));
    if (i == 0 || i + 16 > end) x = v128.bitselect(x, none, lanesWithin(<i32>(i >> 2), from, to));
    v128.store(scratch + i, x);
    m = f32x4.pmax(m, x);
  }
  const greatest = hmax(m), splat = f32x4.splat(greatest);
  let s = f32x4.splat(0), w = s;
  for (i = 0; i < end; i += 16) {
    const p = exp(f32x4.sub(v128.load(scratch + i), splat));
    let x = f32x4.mul(p, v128.load(vScales + i));
    if (i == 0 || i + 16 > end) x = v128.and(x, lanesWithin(<i32>(i >> 2), from, to));
    v128.store(scratch + i, x);
    s = f32x4.add(s, p);
    w = i32x4.max_u(w, x);
  }
  const largest = hmaxOrNaN(w), factor = f32x4.splat(largest > TINY ? P_MAX / largest : 0);
  const magic = f32x4.splat(MAGIC);
  for (i = 0; i < end; i += 16) {
    const words = rounded(f32x4.mul(v128.load(scratch + i), factor), magic);
    v128.store64_lane(scratch + (i >> 1), i16x8.narrow_i32x4_s(words, words), 0);
  }
  store<f32>(scratch, largest / P_MAX, WEIGHTS_SCALE);
  store<f32>(out, greatest);
  store<f32>(out, hsum(s), 4);
}

/** Σ weight·v, panel by panel, two positions at a time. */
@inline
function values<R>(p: usize, D: i32, V: usize, count: i32, out: usize): void {
  const z = i32x4.splat(0), bytes = <usize>(count + 1 & ~1) << 1;
  for (let panel = 0; panel < D; panel += 8, V += 8 * PAGE, out += 32) {
    let a0 = z, a1 = z, b0 = z, b1 = z, c0 = z, c1 = z, d0 = z, d1 = z, v = V;
    for (let i = p, end = p + bytes; i < end; i += 4, v += 16) {
      const low = v128.load_ext<i8>(v), high = v128.load_ext<i8>(v, 8);
      let w = v128.load32_splat(i);
      a0 = madd(a0, low, w);
      a1 = madd(a1, high, w);
      if (rowsOf<R>() > 1) {
        w = v128.load32_splat(i, SCORES);
        b0 = madd(b0, low, w);
        b1 = madd(b1, high, w);
      }
      if (rowsOf<R>() > 2) {
        w = v128.load32_splat(i, 2 * SCORES);
        c0 = madd(c0, low, w);
        c1 = madd(c1, high, w);
      }
      if (rowsOf<R>() > 3) {
        w = v128.load32_splat(i, 3 * SCORES);
        d0 = madd(d0, low, w);
        d1 = madd(d1, high, w);
      }
    }
    storeScaled(out, a0, a1, p);
    if (rowsOf<R>() > 1) storeScaled(out + partialBytes(D), b0, b1, p + SCORES);
    if (rowsOf<R>() > 2) storeScaled(out + 2 * partialBytes(D), c0, c1, p + 2 * SCORES);
    if (rowsOf<R>() > 3) storeScaled(out + 3 * partialBytes(D), d0, d1, p + 3 * SCORES);
  }
}

@inline
function storeScaled(to: usize, a: v128, b: v128, row: usize): void {
  const scale = v128.load32_splat(row, WEIGHTS_SCALE);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(a), scale));
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(b), scale), 16);
}
