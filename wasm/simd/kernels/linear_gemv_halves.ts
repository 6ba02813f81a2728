// gemv() for scales that change in the middle of a block of 32.
import { splatAt } from "./lanes";
import { beyond, codeBytes, dotOne, nibble } from "./linear_codes";
import {
  addHalf,
  addScaledHalves,
  addSuper,
  groupBytes,
  halfMask,
  initialHalf,
  isSuper,
  scaleBytes,
  scaledHalf,
  store,
  superBytes,
  unscaled,
} from "./linear_scales";

/** Outputs of groups g0 to g1 for one quantised row x of K values, to y (the row's first output). */
export function gemvHalves<C, S>(
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
    let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
    let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    let left = 8;
    let record = x + <usize>K;
    for (let xp = x; xp < x + <usize>K; xp += 32) {
      const scales = wp + codes;
      let start = initialHalf<S>(record, 0);
      let d0 = start, d1 = start, d2 = start, d3 = start;
      let v: v128;
      v = splatAt(xp, 0);
      d0 = dotOne<C>(wp, 0, v, d0, m, u), d1 = dotOne<C>(wp + 16, 0, v, d1, m, u);
      d2 = dotOne<C>(wp + 32, 0, v, d2, m, u), d3 = dotOne<C>(wp + 48, 0, v, d3, m, u);
      v = splatAt(xp, 4);
      d0 = dotOne<C>(wp, 1, v, d0, m, u), d1 = dotOne<C>(wp + 16, 1, v, d1, m, u);
      d2 = dotOne<C>(wp + 32, 1, v, d2, m, u), d3 = dotOne<C>(wp + 48, 1, v, d3, m, u);
      v = splatAt(xp, 8);
      d0 = dotOne<C>(wp, 2, v, d0, m, u), d1 = dotOne<C>(wp + 16, 2, v, d1, m, u);
      d2 = dotOne<C>(wp + 32, 2, v, d2, m, u), d3 = dotOne<C>(wp + 48, 2, v, d3, m, u);
      v = splatAt(xp, 12);
      d0 = dotOne<C>(wp, 3, v, d0, m, u), d1 = dotOne<C>(wp + 16, 3, v, d1, m, u);
      d2 = dotOne<C>(wp + 32, 3, v, d2, m, u), d3 = dotOne<C>(wp + 48, 3, v, d3, m, u);
      let h0 = zero, h1 = zero, h2 = zero, h3 = zero;
      if (isSuper<S>()) {
        h0 = scaledHalf(d0, scales, 0, 0);
        h1 = scaledHalf(d1, scales, 1, 0);
        h2 = scaledHalf(d2, scales, 2, 0);
        h3 = scaledHalf(d3, scales, 3, 0);
      } else {
        a0 = addHalf(a0, d0, scales, 0, 0, record, offset);
        a1 = addHalf(a1, d1, scales, 1, 0, record, offset);
        a2 = addHalf(a2, d2, scales, 2, 0, record, offset);
        a3 = addHalf(a3, d3, scales, 3, 0, record, offset);
      }
      start = initialHalf<S>(record, 1);
      d0 = start, d1 = start, d2 = start, d3 = start;
      v = splatAt(xp, 16);
      d0 = dotOne<C>(wp, 4, v, d0, m, u), d1 = dotOne<C>(wp + 16, 4, v, d1, m, u);
      d2 = dotOne<C>(wp + 32, 4, v, d2, m, u), d3 = dotOne<C>(wp + 48, 4, v, d3, m, u);
      v = splatAt(xp, 20);
      d0 = dotOne<C>(wp, 5, v, d0, m, u), d1 = dotOne<C>(wp + 16, 5, v, d1, m, u);
      d2 = dotOne<C>(wp + 32, 5, v, d2, m, u), d3 = dotOne<C>(wp + 48, 5, v, d3, m, u);
      v = splatAt(xp, 24);
      d0 = dotOne<C>(wp, 6, v, d0, m, u), d1 = dotOne<C>(wp + 16, 6, v, d1, m, u);
      d2 = dotOne<C>(wp + 32, 6, v, d2, m, u), d3 = dotOne<C>(wp + 48, 6, v, d3, m, u);
      v = splatAt(xp, 28);
      d0 = dotOne<C>(wp, 7, v, d0, m, u), d1 = dotOne<C>(wp + 16, 7, v, d1, m, u);
      d2 = dotOne<C>(wp + 32, 7, v, d2, m, u), d3 = dotOne<C>(wp + 48, 7, v, d3, m, u);
      if (isSuper<S>()) {
        b0 = addScaledHalves(b0, h0, scaledHalf(d0, scales, 0, 1), record);
        b1 = addScaledHalves(b1, h1, scaledHalf(d1, scales, 1, 1), record);
        b2 = addScaledHalves(b2, h2, scaledHalf(d2, scales, 2, 1), record);
        b3 = addScaledHalves(b3, h3, scaledHalf(d3, scales, 3, 1), record);
      } else {
        a0 = addHalf(a0, d0, scales, 0, 1, record, offset);
        a1 = addHalf(a1, d1, scales, 1, 1, record, offset);
        a2 = addHalf(a2, d2, scales, 2, 1, record, offset);
        a3 = addHalf(a3, d3, scales, 3, 1, record, offset);
      }
      wp += step;
      record += 16;
      if (isSuper<S>()) {
        if (--left == 0) {
          a0 = addSuper<S>(a0, b0, zero, wp, 0, h);
          a1 = addSuper<S>(a1, b1, zero, wp, 1, h);
          a2 = addSuper<S>(a2, b2, zero, wp, 2, h);
          a3 = addSuper<S>(a3, b3, zero, wp, 3, h);
          b0 = zero, b1 = zero, b2 = zero, b3 = zero;
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
