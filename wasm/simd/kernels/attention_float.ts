/** Attention over a page of an f32 or f16 cache. T is the type of its values, u16 for f16. */
import { PAGE } from "../abi";
import { lanesWithin, partialBytes, rowsOf, SCORES } from "./attention_rows";
import { exp, hmax, hsum } from "./math";

/**
 * An f16's bits, moved to an f32's place, are worth 2^-112 of it. The powers make up for all of
 * that; the queries for half, and the scores for the rest, lest products overflow or vanish.
 */
const V_FACTOR: f32 = 5192296858534827628530496329220096.0;
const K_FACTOR: f32 = 72057594037927936.0;
/** What is kept of those bits. An infinity or NaN counts as if its exponent were ordinary. */
const F16_MASK: i32 = 0x8fffe000;

/** attendPage() for as many rows as R stands for. */
export function attendFloatTile<T, R>(
  q: usize,
  D: i32,
  chunk: usize,
  first: i32,
  count: i32,
  scratch: usize,
  out: usize,
): void {
  const from = first & 3, to = from + count, start = first - from;
  const V = chunk + <usize>(PAGE * D) * sizeof<T>(), queries = scratch + 4 * SCORES;
  interleave<T, R>(q, D, queries);
  scores<T, R>(queries, D, chunk + <usize>(start * D) * sizeof<T>(), to, scratch);
  for (let i = 0; i < rowsOf<R>(); i++) {
    const state = out + <usize>i * partialBytes(D) + (<usize>D << 2);
    softmax<T>(scratch + <usize>i * SCORES, from, to, state);
  }
  values<T, R>(scratch + (<usize>from << 2), D, V + <usize>(first * 8) * sizeof<T>(), count, out);
}

/** Queries as scores() reads them: the first four values of each row, the next four of each, … */
@inline
function interleave<T, R>(q: usize, D: i32, to: usize): void {
  const factor = f32x4.splat(K_FACTOR), row = <usize>D << 2;
  for (let i = 0; i < rowsOf<R>(); i++) {
    let out = to + <usize>(i << 4);
    for (const end = q + row; q < end; q += 16, out += 16 * rowsOf<R>()) {
      const x = v128.load(q);
      v128.store(out, isFloat<T>() ? x : f32x4.mul(x, factor));
    }
  }
}

/** Values 0 to 3 of eight as f32, f16 times 2^-112; `words` are the first 16 bytes of the eight. */
@inline
function firstFour<T>(words: v128, mask: v128): v128 {
  return isFloat<T>() ? words : v128.and(i32x4.shr_s(words, 3), mask);
}

/** Values 4 to 7 of the eight at p. */
@inline
function lastFour<T>(words: v128, p: usize, mask: v128): v128 {
  if (isFloat<T>()) return v128.load(p, 16);
  return v128.and(i32x4.shr_s(i32x4.shl(words, 16), 3), mask);
}

@inline
function madd(sum: v128, a: v128, b: v128): v128 {
  return f32x4.add(sum, f32x4.mul(a, b));
}

/** Lanes 0 + 2 and 1 + 3 of a, then those of b. */
@inline
function fold(a: v128, b: v128): v128 {
  return f32x4.add(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.shuffle<f32>(a, b, 2, 3, 6, 7));
}

/** q·k with `count` keys, two at a time: for each row and key two sums that add up to it. */
@inline
function scores<T, R>(q: usize, D: i32, K: usize, count: i32, scratch: usize): void {
  const row = <usize>D * sizeof<T>(), z = f32x4.splat(0), mask = i32x4.splat(F16_MASK);
  for (let t = 0; t < count; t += 2, K += row, scratch += 16) {
    let a0 = z, a1 = z, b0 = z, b1 = z, c0 = z, c1 = z, d0 = z, d1 = z, x = q;
    for (const end = K + row; K < end; K += 8 * sizeof<T>(), x += 16 * rowsOf<R>()) {
      const g = v128.load(K), h = v128.load(K + row);
      let u = firstFour<T>(g, mask), v = firstFour<T>(h, mask);
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
      x += 16 * rowsOf<R>();
      u = lastFour<T>(g, K, mask);
      v = lastFour<T>(h, K + row, mask);
      y = v128.load(x);
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
 * A row of scores to powers p = e^(score - m), times V_FACTOR for f16; none outside from..to-1. The
 * greatest score m and Σ p go to out.
 */
@inline
function softmax<T>(scratch: usize, from: i32, to: i32, out: usize): void {
  const none = f32x4.splat(-Infinity), end = <usize>to << 2;
  let m = none, i: usize = 0;
  for (; i < end; i += 16) {
    const a = v128.load(scratch + 2 * i), b = v128.load(scratch + 2 * i, 16);
    let x = f32x4.add(v128.shuffle<f32>(a, b, 0, 2, 4, 6), v128.shuffle<f32>(a, b, 1, 3, 5, 7));
    if (!isFloat<T>()) x = f32x4.mul(x, f32x4.splat(K_FACTOR));
    if (i == 0 || i + 16 > end) x = v128.bitselect(x, none, lanesWithin(<i32>(i >> 2), from, to));
    v128.store(scratch + i, x);
    m = f32x4.pmax(m, x);
  }
  const greatest = hmax(m), splat = f32x4.splat(greatest);
  let s = f32x4.splat(0);
  for (i = 0; i < end; i += 16) {
    const p = exp(f32x4.sub(v128.load(scratch + i), splat));
    s = f32x4.add(s, p);
    v128.store(scratch + i, isFloat<T>() ? p : f32x4.mul(p, f32x4.splat(V_FACTOR)));
  }
  store<f32>(out, greatest);
  store<f32>(out, hsum(s), 4);
}

/** Σ p·v, panel by panel; two of them at a time for one or two rows. */
@inline
function values<T, R>(p: usize, D: i32, V: usize, count: i32, out: usize): void {
  const pairs = rowsOf<R>() < 3 ? D >> 4 : 0, rest = (D >> 3) - 2 * pairs;
  if (rowsOf<R>() < 3) valuePanels<T, R, u16>(p, D, V, pairs, count, out);
  const done = <usize>(2 * pairs);
  valuePanels<T, R, u8>(p, D, V + done * 8 * PAGE * sizeof<T>(), rest, count, out + (done << 5));
}

/** `times` as many panels as C stands for. */
function valuePanels<T, R, C>(
  p: usize,
  D: i32,
  V: usize,
  times: i32,
  count: i32,
  out: usize,
): void {
  const panel: usize = 8 * PAGE * sizeof<T>(), z = f32x4.splat(0), mask = i32x4.splat(F16_MASK);
  const end = p + (<usize>count << 2);
  for (; times > 0; times--, V += panel * rowsOf<C>(), out += <usize>(32 * rowsOf<C>())) {
    let a0 = z, a1 = z, a2 = z, a3 = z, b0 = z, b1 = z, b2 = z, b3 = z;
    let c0 = z, c1 = z, d0 = z, d1 = z;
    for (let t = p, k = V; t < end; t += 4, k += 8 * sizeof<T>()) {
      const g = v128.load(k), u = firstFour<T>(g, mask), v = lastFour<T>(g, k, mask);
      let x = v128.load32_splat(t);
      a0 = madd(a0, u, x);
      a1 = madd(a1, v, x);
      if (rowsOf<C>() == 2) {
        const h = v128.load(k + panel), w = firstFour<T>(h, mask);
        const s = lastFour<T>(h, k + panel, mask);
        a2 = madd(a2, w, x);
        a3 = madd(a3, s, x);
        if (rowsOf<R>() == 2) {
          x = v128.load32_splat(t, SCORES);
          b2 = madd(b2, w, x);
          b3 = madd(b3, s, x);
        }
      }
      if (rowsOf<R>() > 1) {
        x = v128.load32_splat(t, SCORES);
        b0 = madd(b0, u, x);
        b1 = madd(b1, v, x);
      }
      if (rowsOf<R>() > 2) {
        x = v128.load32_splat(t, 2 * SCORES);
        c0 = madd(c0, u, x);
        c1 = madd(c1, v, x);
      }
      if (rowsOf<R>() > 3) {
        x = v128.load32_splat(t, 3 * SCORES);
        d0 = madd(d0, u, x);
        d1 = madd(d1, v, x);
      }
    }
    storeTwo(out, a0, a1);
    if (rowsOf<C>() == 2) storeTwo(out + 32, a2, a3);
    if (rowsOf<R>() > 1) storeTwo(out + partialBytes(D), b0, b1);
    if (rowsOf<R>() == 2 && rowsOf<C>() == 2) storeTwo(out + partialBytes(D) + 32, b2, b3);
    if (rowsOf<R>() > 2) storeTwo(out + 2 * partialBytes(D), c0, c1);
    if (rowsOf<R>() > 3) storeTwo(out + 3 * partialBytes(D), d0, d1);
  }
}

@inline
function storeTwo(p: usize, a: v128, b: v128): void {
  v128.store(p, a);
  v128.store(p, b, 16);
}
