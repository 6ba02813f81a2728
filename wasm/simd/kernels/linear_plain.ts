// One row, and tiles of four rows by four outputs, without relaxed SIMD.
import { at } from "./lanes";
import {
  beyond,
  codeBytes,
  highCodes,
  lowCodes,
  nibble,
  packedHigh,
  packedLow,
} from "./linear_codes";
import { blockSum, halfSum } from "./linear_products";
import {
  addBlock,
  addHalf,
  addMinima,
  addScaledHalves,
  addSuper,
  blockOffset,
  blockScale,
  groupBytes,
  halfBlockScale,
  halfBlockZero,
  halfMask,
  hasSuperMin,
  initial,
  initialHalf,
  isHalved,
  isSuper,
  scaleBytes,
  scaledHalf,
  store,
  superBytes,
  total,
  unscaled,
} from "./linear_scales";

/** Scales of quad q, or of the first half of its block. */
@inline
function firstScale<S>(scales: usize, q: usize, h: v128): v128 {
  return isHalved<S>() ? halfBlockScale<S>(scales, q, 0) : blockScale<S>(scales, q, h);
}

/** Scales of the second half, if it has its own. */
@inline
function secondScale<S>(scales: usize, q: usize, h: v128): v128 {
  return isHalved<S>() ? halfBlockScale<S>(scales, q, 1) : h;
}

/** Minima or zero points of quad q, or of the first half of its block. */
@inline
function firstOffset<S>(scales: usize, q: usize, h: v128): v128 {
  if (!isHalved<S>()) return blockOffset<S>(scales, q, h);
  return isSuper<S>() ? h : halfBlockZero<S>(scales, q, 0);
}

/** Zero points of the second half, if it has its own. */
@inline
function secondOffset<S>(scales: usize, q: usize, h: v128): v128 {
  return isHalved<S>() && !isSuper<S>() ? halfBlockZero<S>(scales, q, 1) : h;
}

/** Adds to `sum` what a block has for one row: codes w0 to w7, scales f0, f1 and offsets o0, o1. */
@inline
function addRow<C, S>(
  sum: v128,
  x: usize,
  record: usize,
  offset: i32,
  f0: v128,
  f1: v128,
  o0: v128,
  o1: v128,
  w0: v128,
  w1: v128,
  w2: v128,
  w3: v128,
  w4: v128,
  w5: v128,
  w6: v128,
  w7: v128,
): v128 {
  if (isHalved<S>()) {
    let first = halfSum<C>(x, w0, w1, w2, w3), second = halfSum<C>(x + 16, w4, w5, w6, w7);
    first = i32x4.add(initialHalf<C, S>(record, 0, offset), first);
    second = i32x4.add(initialHalf<C, S>(record, 1, offset), second);
    if (isSuper<S>()) {
      return addScaledHalves(sum, scaledHalf(first, f0), scaledHalf(second, f1), record);
    }
    return addHalf(addHalf(sum, first, f0, o0, record, 0), second, f1, o1, record, 1);
  }
  const products = blockSum<C>(x, w0, w1, w2, w3, w4, w5, w6, w7);
  const block = i32x4.add(initial<C, S>(record, offset), products);
  return addBlock<S>(sum, block, f0, o0, record, total<S>(record));
}

/** Adds what quad q of the block has for the only row. */
@inline
function addQuad<C, S>(
  sum: v128,
  x: usize,
  record: usize,
  block: usize,
  q: usize,
  offset: i32,
  m: v128,
  u: v128,
  h: v128,
): v128 {
  const w = block + 16 * q, scales = block + codeBytes<C>();
  const v0 = at(w, 0), v1 = at(w, 64), v2 = at(w, 128), v3 = at(w, 192);
  const low = packedLow<C>(w, m), high = packedHigh<C>(w, m);
  return addRow<C, S>(
    sum,
    x,
    record,
    offset,
    firstScale<S>(scales, q, h),
    secondScale<S>(scales, q, h),
    firstOffset<S>(scales, q, h),
    secondOffset<S>(scales, q, h),
    lowCodes<C>(0, v0, low, m, u),
    lowCodes<C>(1, v1, low, m, u),
    lowCodes<C>(2, v2, low, m, u),
    lowCodes<C>(3, v3, low, m, u),
    highCodes<C>(w, 0, v0, high, m, u),
    highCodes<C>(w, 1, v1, high, m, u),
    highCodes<C>(w, 2, v2, high, m, u),
    highCodes<C>(w, 3, v3, high, m, u),
  );
}

/**
 * Outputs of groups g0 to g1 for one quantised row x of K values, to y (the row's first output).
 */
export function gemvPlain<C, S>(
  w: usize,
  x: usize,
  y: usize,
  K: i32,
  g0: i32,
  g1: i32,
  add: i32,
  bias: usize,
  offset: i32,
): void {
  const m = nibble(), u = beyond<C>(), h = halfMask();
  const codes = codeBytes<C>(), step = codes + scaleBytes<S>(), zero = f32x4.splat(0);
  let wp = w + <usize>g0 * groupBytes<S>(codes, K);
  for (let g = g0; g < g1; g++) {
    // Sums, and sums within a super-block: of products and of minima.
    let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
    let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    let m0 = zero, m1 = zero, m2 = zero, m3 = zero;
    let left = 8;
    let record = x + <usize>K;
    for (let xp = x; xp < x + <usize>K; xp += 32) {
      if (isSuper<S>()) {
        b0 = addQuad<C, S>(b0, xp, record, wp, 0, offset, m, u, h);
        b1 = addQuad<C, S>(b1, xp, record, wp, 1, offset, m, u, h);
        b2 = addQuad<C, S>(b2, xp, record, wp, 2, offset, m, u, h);
        b3 = addQuad<C, S>(b3, xp, record, wp, 3, offset, m, u, h);
        if (hasSuperMin<S>()) {
          m0 = addMinima(m0, blockOffset<S>(wp + codes, 0, h), record);
          m1 = addMinima(m1, blockOffset<S>(wp + codes, 1, h), record);
          m2 = addMinima(m2, blockOffset<S>(wp + codes, 2, h), record);
          m3 = addMinima(m3, blockOffset<S>(wp + codes, 3, h), record);
        }
      } else {
        a0 = addQuad<C, S>(a0, xp, record, wp, 0, offset, m, u, h);
        a1 = addQuad<C, S>(a1, xp, record, wp, 1, offset, m, u, h);
        a2 = addQuad<C, S>(a2, xp, record, wp, 2, offset, m, u, h);
        a3 = addQuad<C, S>(a3, xp, record, wp, 3, offset, m, u, h);
      }
      wp += step;
      record += 16;
      if (isSuper<S>()) {
        if (--left == 0) {
          a0 = addSuper<S>(a0, b0, m0, wp, 0, h);
          a1 = addSuper<S>(a1, b1, m1, wp, 1, h);
          a2 = addSuper<S>(a2, b2, m2, wp, 2, h);
          a3 = addSuper<S>(a3, b3, m3, wp, 3, h);
          b0 = zero, b1 = zero, b2 = zero, b3 = zero;
          m0 = zero, m1 = zero, m2 = zero, m3 = zero;
          wp += superBytes<S>();
          left = 8;
        }
      }
    }
    const at = <usize>g << 6, from = bias ? bias + at : 0;
    store(y + at, 0, unscaled<S>(a0), from, add);
    store(y + at, 16, unscaled<S>(a1), from, add);
    store(y + at, 32, unscaled<S>(a2), from, add);
    store(y + at, 48, unscaled<S>(a3), from, add);
  }
}

/** Outputs of group g for M rows (a multiple of 4) of K values, xStride and yStride bytes apart. */
export function gemmPlain<C, S>(
  w: usize,
  x: usize,
  xStride: usize,
  y: usize,
  yStride: usize,
  M: i32,
  K: i32,
  g: i32,
  add: i32,
  bias: usize,
  offset: i32,
): void {
  const group = w + <usize>g * groupBytes<S>(codeBytes<C>(), K);
  for (let quad: usize = 0; quad < 4; quad++) {
    const at = (<usize>g << 6) + 16 * quad, from = bias ? bias + at : 0;
    for (let r: usize = 0; r < <usize>M; r += 4) {
      const rows = x + r * xStride, out = y + r * yStride + at;
      tilePlain<C, S>(group, quad, rows, xStride, out, yStride, K, add, from, offset);
    }
  }
}

/** Four outputs of a group, quad q, for four rows. */
function tilePlain<C, S>(
  group: usize,
  q: usize,
  x0: usize,
  xStride: usize,
  y: usize,
  yStride: usize,
  K: i32,
  add: i32,
  bias: usize,
  offset: i32,
): void {
  const m = nibble(), u = beyond<C>(), h = halfMask();
  const codes = codeBytes<C>(), step = codes + scaleBytes<S>(), end = x0 + <usize>K;
  const zero = f32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let m0 = zero, m1 = zero, m2 = zero, m3 = zero;
  let x1 = x0 + xStride, x2 = x1 + xStride, x3 = x2 + xStride;
  let r0 = x0 + <usize>K, r1 = r0 + xStride, r2 = r1 + xStride, r3 = r2 + xStride;
  let left = 8;
  let block = group;
  while (x0 < end) {
    const w = block + 16 * q, scales = block + codes;
    const v0 = at(w, 0), v1 = at(w, 64), v2 = at(w, 128), v3 = at(w, 192);
    const low = packedLow<C>(w, m), high = packedHigh<C>(w, m);
    const w0 = lowCodes<C>(0, v0, low, m, u), w4 = highCodes<C>(w, 0, v0, high, m, u);
    const w1 = lowCodes<C>(1, v1, low, m, u), w5 = highCodes<C>(w, 1, v1, high, m, u);
    const w2 = lowCodes<C>(2, v2, low, m, u), w6 = highCodes<C>(w, 2, v2, high, m, u);
    const w3 = lowCodes<C>(3, v3, low, m, u), w7 = highCodes<C>(w, 3, v3, high, m, u);
    const f0 = firstScale<S>(scales, q, h), f1 = secondScale<S>(scales, q, h);
    const o0 = firstOffset<S>(scales, q, h), o1 = secondOffset<S>(scales, q, h);
    if (isSuper<S>()) {
      b0 = addRow<C, S>(b0, x0, r0, offset, f0, f1, o0, o1, w0, w1, w2, w3, w4, w5, w6, w7);
      b1 = addRow<C, S>(b1, x1, r1, offset, f0, f1, o0, o1, w0, w1, w2, w3, w4, w5, w6, w7);
      b2 = addRow<C, S>(b2, x2, r2, offset, f0, f1, o0, o1, w0, w1, w2, w3, w4, w5, w6, w7);
      b3 = addRow<C, S>(b3, x3, r3, offset, f0, f1, o0, o1, w0, w1, w2, w3, w4, w5, w6, w7);
      if (hasSuperMin<S>()) {
        m0 = addMinima(m0, o0, r0);
        m1 = addMinima(m1, o0, r1);
        m2 = addMinima(m2, o0, r2);
        m3 = addMinima(m3, o0, r3);
      }
    } else {
      a0 = addRow<C, S>(a0, x0, r0, offset, f0, f1, o0, o1, w0, w1, w2, w3, w4, w5, w6, w7);
      a1 = addRow<C, S>(a1, x1, r1, offset, f0, f1, o0, o1, w0, w1, w2, w3, w4, w5, w6, w7);
      a2 = addRow<C, S>(a2, x2, r2, offset, f0, f1, o0, o1, w0, w1, w2, w3, w4, w5, w6, w7);
      a3 = addRow<C, S>(a3, x3, r3, offset, f0, f1, o0, o1, w0, w1, w2, w3, w4, w5, w6, w7);
    }
    block += step;
    x0 += 32, x1 += 32, x2 += 32, x3 += 32;
    r0 += 16, r1 += 16, r2 += 16, r3 += 16;
    if (isSuper<S>()) {
      if (--left == 0) {
        a0 = addSuper<S>(a0, b0, m0, block, q, h);
        a1 = addSuper<S>(a1, b1, m1, block, q, h);
        a2 = addSuper<S>(a2, b2, m2, block, q, h);
        a3 = addSuper<S>(a3, b3, m3, block, q, h);
        b0 = zero, b1 = zero, b2 = zero, b3 = zero;
        m0 = zero, m1 = zero, m2 = zero, m3 = zero;
        block += superBytes<S>();
        left = 8;
      }
    }
  }
  store(y, 0, unscaled<S>(a0), bias, add);
  store(y + yStride, 0, unscaled<S>(a1), bias, add);
  store(y + 2 * yStride, 0, unscaled<S>(a2), bias, add);
  store(y + 3 * yStride, 0, unscaled<S>(a3), bias, add);
}
