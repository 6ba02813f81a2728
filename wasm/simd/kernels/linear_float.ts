// Weights of floating point: for each k the 16 values of a group, times one activation, k in sequence.
import { at, brainHalves, halves, splatAt } from "./lanes";
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

/** Four weights, those of quad q. */
@inline
function weights<F>(w: usize, q: usize): v128 {
  if (idof<F>() == idof<Whole>()) return at(w, 16 * q);
  if (idof<F>() == idof<Binary16>()) return halves(w, 8 * q);
  return brainHalves(w, 8 * q);
}

@inline
function addProduct(sum: v128, x: v128, w: v128): v128 {
  return f32x4.add(sum, f32x4.mul(x, w));
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
  const end = x + (<usize>K << 2);
  let wp = w + <usize>g0 * <usize>K * stepBytes<F>();
  for (let g = g0; g < g1; g++) {
    const zero = f32x4.splat(0);
    let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
    for (let xp = x; xp < end; xp += 4) {
      const t = splatAt(xp, 0);
      a0 = addProduct(a0, t, weights<F>(wp, 0));
      a1 = addProduct(a1, t, weights<F>(wp, 1));
      a2 = addProduct(a2, t, weights<F>(wp, 2));
      a3 = addProduct(a3, t, weights<F>(wp, 3));
      wp += stepBytes<F>();
    }
    const out = <usize>g << 6, from = bias ? bias + out : 0;
    store(y + out, 0, a0, from, add);
    store(y + out, 16, a1, from, add);
    store(y + out, 32, a2, from, add);
    store(y + out, 48, a3, from, add);
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
  for (let quad: usize = 0; quad < 4; quad += 2) {
    const out = (<usize>g << 6) + 16 * quad, from = bias ? bias + out : 0;
    for (let r: usize = 0; r < <usize>M; r += 4) {
      const rows = x + r * xStride;
      tileFloat<F>(group, quad, rows, xStride, y + r * yStride + out, yStride, K, add, from);
    }
  }
}

/** Eight outputs, from that quad of a group on, for four rows. */
function tileFloat<F>(
  group: usize,
  quad: usize,
  x0: usize,
  xStride: usize,
  y: usize,
  yStride: usize,
  K: i32,
  add: i32,
  bias: usize,
): void {
  const end = x0 + (<usize>K << 2), zero = f32x4.splat(0);
  let a00 = zero, a01 = zero, a10 = zero, a11 = zero;
  let a20 = zero, a21 = zero, a30 = zero, a31 = zero;
  let x1 = x0 + xStride, x2 = x1 + xStride, x3 = x2 + xStride;
  let wp = group;
  while (x0 < end) {
    const u = weights<F>(wp, quad), v = weights<F>(wp, quad + 1);
    let t = splatAt(x0, 0);
    a00 = addProduct(a00, t, u), a01 = addProduct(a01, t, v);
    t = splatAt(x1, 0);
    a10 = addProduct(a10, t, u), a11 = addProduct(a11, t, v);
    t = splatAt(x2, 0);
    a20 = addProduct(a20, t, u), a21 = addProduct(a21, t, v);
    t = splatAt(x3, 0);
    a30 = addProduct(a30, t, u), a31 = addProduct(a31, t, v);
    wp += stepBytes<F>();
    x0 += 4, x1 += 4, x2 += 4, x3 += 4;
  }
  store(y, 0, a00, bias, add);
  store(y, 16, a01, bias, add);
  store(y + yStride, 0, a10, bias, add);
  store(y + yStride, 16, a11, bias, add);
  store(y + 2 * yStride, 0, a20, bias, add);
  store(y + 2 * yStride, 16, a21, bias, add);
  store(y + 3 * yStride, 0, a30, bias, add);
  store(y + 3 * yStride, 16, a31, bias, add);
}
