// Attention over one page of a KV cache at a time, and the merging of pages (as in FlashAttention, Dao et al.).
// A page's partial result depends on that page and the query alone, so the bits are the same whether one
// thread takes all pages in sequence or several take some each.
import { KV_F16, KV_F32, PAGE } from "../abi";
import { partBytes } from "./cache";
import { exp, f16Scaled, hmax, hsum } from "./math";

/** Bytes of a head's row of scores: two sums for each position of a page. */
const SCORES: usize = 512;
/** What f16Scaled() is too small by, in two parts: in one the query's products would overflow or vanish. */
const K_FACTOR: f32 = 72057594037927936.0;
const V_FACTOR: f32 = 5192296858534827628530496329220096.0;

/** Bytes of a head's partial result: D values, maximum, sum, two words of padding. */
@inline
function partialBytes(D: i32): usize {
  return (<usize>D + 4) << 2;
}

/**
 * Attends positions first..first+count-1 (count > 0) of one kv head's chunk of a page.
 *
 * q: r rows of D f32 (D % 8 == 0), rotated and scaled. out: for each row D f32 Σ p·v, then f32 m, the greatest
 * score, and f32 s = Σ p with p = e^(score - m). scratch: 2048 + 16·D bytes.
 *
 * Rows are taken up to four at a time, each with the same bits as alone.
 */
export function attendPage(
  kvType: i32, q: usize, r: i32, D: i32, chunk: usize, first: i32, count: i32, scratch: usize, out: usize,
): void {
  if (kvType == KV_F32) attendRows<f32>(q, r, D, chunk, first, count, scratch, out);
  else if (kvType == KV_F16) attendRows<u16>(q, r, D, chunk, first, count, scratch, out);
  else attendRows<i8>(q, r, D, chunk, first, count, scratch, out);
}

function attendRows<T>(
  q: usize, r: i32, D: i32, chunk: usize, first: i32, count: i32, scratch: usize, out: usize,
): void {
  for (; r >= 4; r -= 4) {
    attendTile<T, u64>(q, D, chunk, first, count, scratch, out);
    q += <usize>D << 4;
    out += 4 * partialBytes(D);
  }
  if (r == 3) attendTile<T, u32>(q, D, chunk, first, count, scratch, out);
  else if (r == 2) attendTile<T, u16>(q, D, chunk, first, count, scratch, out);
  else if (r == 1) attendTile<T, u8>(q, D, chunk, first, count, scratch, out);
}

/** Rows of a tile, from a type that stands for them: u8, u16, u32, u64 for 1, 2, 3, 4. */
@inline
function rowsOf<R>(): i32 {
  return sizeof<R>() == 8 ? 4 : sizeof<R>() == 4 ? 3 : <i32>sizeof<R>();
}

/** T: the type of the cache's values (u16 for f16); R: see rowsOf. */
function attendTile<T, R>(
  q: usize, D: i32, chunk: usize, first: i32, count: i32, scratch: usize, out: usize,
): void {
  const type = isFloat<T>() ? KV_F32 : KV_F16;
  const K = chunk, V = chunk + (sizeof<T>() == 1 ? partBytes(2, D) : partBytes(type, D));
  const key = K + <usize>(first * D) * sizeof<T>(), value = V + <usize>first * 8 * sizeof<T>();
  const scales = <usize>(PAGE * D) + (<usize>first << 2);
  interleave<T, R>(q, D, scratch + 4 * SCORES);
  scores<T, R>(scratch + 4 * SCORES, D, key, count, scratch);
  for (let i = 0; i < rowsOf<R>(); i++) {
    softmax<T>(scratch + <usize>i * SCORES, count, K + scales, V + scales, out + <usize>i * partialBytes(D) + (<usize>D << 2));
  }
  values<T, R>(scratch, D, value, count, out);
}

/** Queries of a tile as `scores` reads them: the first four values of each row, the next four of each, … */
@inline
function interleave<T, R>(q: usize, D: i32, to: usize): void {
  for (let row = 0; row < rowsOf<R>(); row++) {
    for (let d: usize = 0; d < <usize>D << 2; d += 16, q += 16) {
      const x = v128.load(q);
      v128.store(to + d * rowsOf<R>() + <usize>(row << 4), sizeof<T>() == 2 ? f32x4.mul(x, f32x4.splat(K_FACTOR)) : x);
    }
  }
}

/** Four values of a cache as f32, but for the factor of the type. */
@inline
function four<T>(p: usize): v128 {
  if (isFloat<T>()) return v128.load(p);
  if (sizeof<T>() == 2) return f16Scaled(v128.load_ext<i16>(p));
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v128.load_ext<i8>(p)));
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

/** q·k of R rows with `count` keys, two or four keys at a time: for each row and key two sums that add up to it. */
@inline
function scores<T, R>(q: usize, D: i32, K: usize, count: i32, scratch: usize): void {
  const row = <usize>D * sizeof<T>(), z = f32x4.splat(0), keys = rowsOf<R>() < 3 ? 4 : 2;
  for (let t = 0; t < count; t += keys, scratch += <usize>(8 * keys)) {
    let a0 = z, a1 = z, a2 = z, a3 = z, b0 = z, b1 = z, b2 = z, b3 = z, c0 = z, c1 = z, d0 = z, d1 = z;
    let k = K, x = q;
    K += row;
    for (; k < K; k += 4 * sizeof<T>(), x += 16 * rowsOf<R>()) {
      const u = four<T>(k), v = four<T>(k + row);
      let y = v128.load(x);
      a0 = madd(a0, u, y);
      a1 = madd(a1, v, y);
      if (rowsOf<R>() < 3) {
        const w = four<T>(k + 2 * row), s = four<T>(k + 3 * row);
        a2 = madd(a2, w, y);
        a3 = madd(a3, s, y);
        if (rowsOf<R>() == 2) {
          y = v128.load(x, 16);
          b2 = madd(b2, w, y);
          b3 = madd(b3, s, y);
        }
      }
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
    K += <usize>(keys - 1) * row;
    v128.store(scratch, fold(a0, a1));
    if (rowsOf<R>() < 3) v128.store(scratch, fold(a2, a3), 16);
    if (rowsOf<R>() > 1) v128.store(scratch, fold(b0, b1), SCORES);
    if (rowsOf<R>() == 2) v128.store(scratch, fold(b2, b3), SCORES + 16);
    if (rowsOf<R>() > 2) v128.store(scratch, fold(c0, c1), 2 * SCORES);
    if (rowsOf<R>() > 3) v128.store(scratch, fold(d0, d1), 3 * SCORES);
  }
}

/**
 * Scores to the factors of the values: e^(score - m), times what the cache's type wants. The greatest score m
 * and the sum of the powers go to out.
 */
@inline
function softmax<T>(scratch: usize, count: i32, kScales: usize, vScales: usize, out: usize): void {
  const none = f32x4.splat(-Infinity), end = <usize>count << 2;
  let m = none, s = f32x4.splat(0), i: usize = 0;
  for (; i < end; i += 16) {
    const a = v128.load(scratch + 2 * i), b = v128.load(scratch + 2 * i, 16);
    let x = f32x4.add(v128.shuffle<f32>(a, b, 0, 2, 4, 6), v128.shuffle<f32>(a, b, 1, 3, 5, 7));
    if (sizeof<T>() == 1) x = f32x4.mul(x, v128.load(kScales + i));
    if (sizeof<T>() == 2) x = f32x4.mul(x, f32x4.splat(K_FACTOR));
    if (i + 16 > end) x = v128.bitselect(x, none, below(<i32>(end - i) >> 2));
    v128.store(scratch + i, x);
    m = f32x4.pmax(m, x);
  }
  const greatest = hmax(m), splat = f32x4.splat(greatest);
  for (i = 0; i < end; i += 16) {
    const p = exp(f32x4.sub(v128.load(scratch + i), splat));
    s = f32x4.add(s, p);
    if (sizeof<T>() == 4) v128.store(scratch + i, p);
    if (sizeof<T>() == 2) v128.store(scratch + i, f32x4.mul(p, f32x4.splat(V_FACTOR)));
    if (sizeof<T>() == 1) v128.store(scratch + i, f32x4.mul(p, v128.load(vScales + i)));
  }
  store<f32>(out, greatest);
  store<f32>(out, hsum(s), 4);
}

/** All ones in the first n of four lanes. */
@inline
function below(n: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(n));
}

/** Σ p·v of R rows: two panels of values at a time for one or two rows, else one. */
@inline
function values<T, R>(p: usize, D: i32, V: usize, count: i32, out: usize): void {
  const panel: usize = 8 * PAGE * sizeof<T>();
  let left = D >> 3;
  if (rowsOf<R>() < 3) {
    for (; left > 1; left -= 2, V += 2 * panel, out += 64) valueTile<T, R, u32>(p, D, V, count, out);
  }
  for (; left > 0; left--, V += panel, out += 32) valueTile<T, R, u16>(p, D, V, count, out);
}

/** C: u32 for two panels, u16 for one. */
@inline
function valueTile<T, R, C>(p: usize, D: i32, V: usize, count: i32, out: usize): void {
  const panel: usize = 8 * PAGE * sizeof<T>();
  const z = f32x4.splat(0), out1 = out + partialBytes(D), out2 = out1 + partialBytes(D), out3 = out2 + partialBytes(D);
  let a0 = z, a1 = z, a2 = z, a3 = z, b0 = z, b1 = z, b2 = z, b3 = z, c0 = z, c1 = z, d0 = z, d1 = z;
  for (const end = p + (<usize>count << 2); p < end; p += 4, V += 8 * sizeof<T>()) {
    const u = four<T>(V), v = four<T>(V + 4 * sizeof<T>());
    let x = v128.load32_splat(p);
    a0 = madd(a0, u, x);
    a1 = madd(a1, v, x);
    if (rowsOf<R>() > 1) {
      const y = v128.load32_splat(p, SCORES);
      b0 = madd(b0, u, y);
      b1 = madd(b1, v, y);
      if (sizeof<C>() == 4) {
        const w = four<T>(V + panel), t = four<T>(V + panel + 4 * sizeof<T>());
        a2 = madd(a2, w, x);
        a3 = madd(a3, t, x);
        b2 = madd(b2, w, y);
        b3 = madd(b3, t, y);
      }
    } else if (sizeof<C>() == 4) {
      a2 = madd(a2, four<T>(V + panel), x);
      a3 = madd(a3, four<T>(V + panel + 4 * sizeof<T>()), x);
    }
    if (rowsOf<R>() > 2) {
      x = v128.load32_splat(p, 2 * SCORES);
      c0 = madd(c0, u, x);
      c1 = madd(c1, v, x);
    }
    if (rowsOf<R>() > 3) {
      x = v128.load32_splat(p, 3 * SCORES);
      d0 = madd(d0, u, x);
      d1 = madd(d1, v, x);
    }
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  if (sizeof<C>() == 4) v128.store(out, a2, 32);
  if (sizeof<C>() == 4) v128.store(out, a3, 48);
  if (rowsOf<R>() > 1) {
    v128.store(out1, b0);
    v128.store(out1, b1, 16);
    if (sizeof<C>() == 4) v128.store(out1, b2, 32);
    if (sizeof<C>() == 4) v128.store(out1, b3, 48);
  }
  if (rowsOf<R>() > 2) {
    v128.store(out2, c0);
    v128.store(out2, c1, 16);
  }
  if (rowsOf<R>() > 3) {
    v128.store(out3, d0);
    v128.store(out3, d1, 16);
  }
}

/**
 * Adds a partial result to a state of the same form (which begins with m = -Infinity and zeros), r rows each:
 * n = max(M, m), S = S·e^(M-n) + s·e^(m-n), O likewise.
 */
export function mergePage(state: usize, partial: usize, r: i32, D: i32): void {
  const bytes = <usize>D << 2;
  for (let i = 0; i < r; i++, state += partialBytes(D), partial += partialBytes(D)) {
    const M = load<f32>(state + bytes), m = load<f32>(partial + bytes), n = max(M, m);
    const a = exp(f32x4.splat(M - n)), b = exp(f32x4.splat(m - n));
    for (let d: usize = 0; d < bytes; d += 16) {
      v128.store(state + d, f32x4.add(f32x4.mul(v128.load(state + d), a), f32x4.mul(v128.load(partial + d), b)));
    }
    const S = load<f32>(state + bytes, 4), s = load<f32>(partial + bytes, 4);
    store<f32>(state + bytes, n);
    store<f32>(state + bytes, S * f32x4.extract_lane(a, 0) + s * f32x4.extract_lane(b, 0), 4);
  }
}

/** out = O / S: r rows of D f32. */
export function finishHeads(state: usize, r: i32, D: i32, out: usize): void {
  const bytes = <usize>D << 2;
  for (let i = 0; i < r; i++, state += partialBytes(D)) {
    const s = f32x4.splat(load<f32>(state + bytes, 4));
    for (let d: usize = 0; d < bytes; d += 16, out += 16) v128.store(out, f32x4.div(v128.load(state + d), s));
  }
}
