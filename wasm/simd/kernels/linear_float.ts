// Weights of floating point: for each k the 16 values of a group, times one activation, k in
// sequence.
import { at } from "./lanes";
import { store } from "./linear_scales";

/** f32 weights. */
export class Whole {}
/** f16 weights. */
export class Binary16 {}
/** bf16 weights. */
export class Brain16 {}

/** Bytes of 16 weights. */
@inline
function stepBytes<F>(): usize {
  return idof<F>() == idof<Whole>() ? 64 : 32;
}

// f16 become f32 · 2^-112, their bits moved into place; activations are taken times 2^64 then, and
// the sums times 2^48. As calls, constants stand before the loops.

function topMask(): v128 {
  return i16x8.splat(<i16>0x8fff);
}

function activationScale(): v128 {
  return f32x4.splat(<f32>18446744073709551616.0);
}

/** Upper halves of eight weights as f32 from w on; lower halves are lowerBits(). */
@inline
function upperBits<F>(w: usize, mask: v128): v128 {
  const v = at(w, 0);
  return idof<F>() == idof<Brain16>() ? v : v128.and(i16x8.shr_s(v, 3), mask);
}

@inline
function lowerBits<F>(w: usize): v128 {
  return idof<F>() == idof<Brain16>() ? i16x8.splat(0) : i16x8.shl(at(w, 0), 13);
}

/** The first four of eight weights, which are at `w` where they are f32. */
@inline
function firstWeights<F>(w: usize, lower: v128, upper: v128): v128 {
  if (idof<F>() == idof<Whole>()) return at(w, 0);
  return v128.shuffle<i16>(lower, upper, 0, 8, 1, 9, 2, 10, 3, 11);
}

/** The other four. */
@inline
function secondWeights<F>(w: usize, lower: v128, upper: v128): v128 {
  if (idof<F>() == idof<Whole>()) return at(w, 16);
  return v128.shuffle<i16>(lower, upper, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** An activation in every lane. */
@inline
function activation<F>(x: usize, scale: v128): v128 {
  return idof<F>() == idof<Binary16>()
    ? f32x4.mul(v128.load32_splat(x), scale)
    : v128.load32_splat(x);
}

@inline
function addProduct(sum: v128, x: v128, w: v128): v128 {
  return f32x4.add(sum, f32x4.mul(x, w));
}

@inline
function outputs<F>(sum: v128): v128 {
  return idof<F>() == idof<Binary16>() ? f32x4.mul(sum, f32x4.splat(<f32>281474976710656)) : sum;
}

/** Outputs of groups g0 to g1 for one row x of K f32, to y (the row's first output). */
export function gemvFloat<F>(
  w: usize,
  x: usize,
  y: usize,
  K: i32,
  g0: i32,
  g1: i32,
  add: i32,
  bias: usize,
): void {
  const end = x + (<usize>K << 2), m = topMask(), scale = activationScale();
  let wp = w + <usize>g0 * <usize>K * stepBytes<F>();
  for (let g = g0; g < g1; g++) {
    const zero = f32x4.splat(0);
    let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
    for (let xp = x; xp < end; xp += 4) {
      const t = activation<F>(xp, scale), half = wp + (stepBytes<F>() >> 1);
      let lower = lowerBits<F>(wp), upper = upperBits<F>(wp, m);
      a0 = addProduct(a0, t, firstWeights<F>(wp, lower, upper));
      a1 = addProduct(a1, t, secondWeights<F>(wp, lower, upper));
      lower = lowerBits<F>(half), upper = upperBits<F>(half, m);
      a2 = addProduct(a2, t, firstWeights<F>(half, lower, upper));
      a3 = addProduct(a3, t, secondWeights<F>(half, lower, upper));
      wp += stepBytes<F>();
    }
    const out = <usize>g << 6, from = bias ? bias + out : 0;
    store(y + out, 0, outputs<F>(a0), from, add);
    store(y + out, 16, outputs<F>(a1), from, add);
    store(y + out, 32, outputs<F>(a2), from, add);
    store(y + out, 48, outputs<F>(a3), from, add);
  }
}

/** Outputs of group g for M rows (a multiple of 4) of K f32, xStride and yStride bytes apart. */
export function gemmFloat<F>(
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
): void {
  const group = w + <usize>g * <usize>K * stepBytes<F>();
  for (let half: usize = 0; half < 2; half++) {
    const out = (<usize>g << 6) + 32 * half, from = bias ? bias + out : 0;
    const weights = group + half * (stepBytes<F>() >> 1);
    for (let r: usize = 0; r < <usize>M; r += 4) {
      tileFloat<F>(weights, x + r * xStride, xStride, y + r * yStride + out, yStride, K, add, from);
    }
  }
}

/** Eight outputs, whose weights begin at wp, for four rows. */
function tileFloat<F>(
  wp: usize,
  x0: usize,
  xStride: usize,
  y: usize,
  yStride: usize,
  K: i32,
  add: i32,
  bias: usize,
): void {
  const m = topMask(), scale = activationScale();
  const end = x0 + (<usize>K << 2), zero = f32x4.splat(0);
  let a00 = zero, a01 = zero, a10 = zero, a11 = zero;
  let a20 = zero, a21 = zero, a30 = zero, a31 = zero;
  let x1 = x0 + xStride, x2 = x1 + xStride, x3 = x2 + xStride;
  while (x0 < end) {
    const lower = lowerBits<F>(wp), upper = upperBits<F>(wp, m);
    const u = firstWeights<F>(wp, lower, upper), v = secondWeights<F>(wp, lower, upper);
    let t = activation<F>(x0, scale);
    a00 = addProduct(a00, t, u), a01 = addProduct(a01, t, v);
    t = activation<F>(x1, scale);
    a10 = addProduct(a10, t, u), a11 = addProduct(a11, t, v);
    t = activation<F>(x2, scale);
    a20 = addProduct(a20, t, u), a21 = addProduct(a21, t, v);
    t = activation<F>(x3, scale);
    a30 = addProduct(a30, t, u), a31 = addProduct(a31, t, v);
    wp += stepBytes<F>();
    x0 += 4, x1 += 4, x2 += 4, x3 += 4;
  }
  store(y, 0, outputs<F>(a00), bias, add);
  store(y, 16, outputs<F>(a01), bias, add);
  store(y + yStride, 0, outputs<F>(a10), bias, add);
  store(y + yStride, 16, outputs<F>(a11), bias, add);
  store(y + 2 * yStride, 0, outputs<F>(a20), bias, add);
  store(y + 2 * yStride, 16, outputs<F>(a21), bias, add);
  store(y + 3 * yStride, 0, outputs<F>(a30), bias, add);
  store(y + 3 * yStride, 16, outputs<F>(a31), bias, add);
}
