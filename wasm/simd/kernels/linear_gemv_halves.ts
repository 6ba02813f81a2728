// gemv() for scales that change in the middle of a block of 32.
import { at } from "./lanes";
import {
  addProducts,
  beyond,
  bits,
  codeBytes,
  finished,
  highCodes,
  isPaired,
  lowCodes,
  nibble,
  packedHigh,
  packedLow,
  started,
} from "./linear_codes";
import {
  addHalf,
  addScaledHalves,
  addSuper,
  groupBytes,
  halfBlockScale,
  halfBlockZero,
  halfMask,
  initialHalf,
  isSuper,
  scaleBytes,
  scaledHalf,
  store,
  superBytes,
  unscaled,
} from "./linear_scales";

/**
 * Outputs of groups g0 to g1 for one quantised row x of K values, to y (the row's first output).
 */
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
      const t0 = initialHalf<C, S>(record, 0, offset), t1 = initialHalf<C, S>(record, 1, offset);
      let low: v128, high: v128, v: v128;
      let i0 = t0, i1 = t0, j0 = t1, j1 = t1;
      let c0 = started<C>(t0), c1 = c0, d0 = started<C>(t1), d1 = d0;
      // In the order of addresses: a CPU that fetches ahead loses the thread otherwise.
      v = at(wp, 0);
      const l0 = packedLow<C>(wp, m), l1 = packedLow<C>(wp + 16, m);
      const p0 = packedHigh<C>(wp, m), p1 = packedHigh<C>(wp + 16, m);
      low = v128.load32_splat(xp), high = v128.load32_splat(xp, 16);
      c0 = addProducts<C>(low, lowCodes<C>(0, v, l0, m, u), c0);
      d0 = addProducts<C>(high, highCodes<C>(wp, 0, v, p0, m, u), d0);
      v = at(wp + 16, 0);
      c1 = addProducts<C>(low, lowCodes<C>(0, v, l1, m, u), c1);
      d1 = addProducts<C>(high, highCodes<C>(wp + 16, 0, v, p1, m, u), d1);
      low = v128.load32_splat(xp, 4), high = v128.load32_splat(xp, 20);
      v = at(wp, 64);
      c0 = addProducts<C>(low, lowCodes<C>(1, v, l0, m, u), c0);
      d0 = addProducts<C>(high, highCodes<C>(wp, 1, v, p0, m, u), d0);
      v = at(wp + 16, 64);
      c1 = addProducts<C>(low, lowCodes<C>(1, v, l1, m, u), c1);
      d1 = addProducts<C>(high, highCodes<C>(wp + 16, 1, v, p1, m, u), d1);
      if (isPaired<C>() && bits<C>() == 6) {
        i0 = finished<C>(i0, c0), i1 = finished<C>(i1, c1);
        j0 = finished<C>(j0, d0), j1 = finished<C>(j1, d1);
        c0 = started<C>(zero), c1 = c0, d0 = c0, d1 = c0;
      }
      low = v128.load32_splat(xp, 8), high = v128.load32_splat(xp, 24);
      v = at(wp, 128);
      c0 = addProducts<C>(low, lowCodes<C>(2, v, l0, m, u), c0);
      d0 = addProducts<C>(high, highCodes<C>(wp, 2, v, p0, m, u), d0);
      v = at(wp + 16, 128);
      c1 = addProducts<C>(low, lowCodes<C>(2, v, l1, m, u), c1);
      d1 = addProducts<C>(high, highCodes<C>(wp + 16, 2, v, p1, m, u), d1);
      low = v128.load32_splat(xp, 12), high = v128.load32_splat(xp, 28);
      v = at(wp, 192);
      c0 = addProducts<C>(low, lowCodes<C>(3, v, l0, m, u), c0);
      d0 = addProducts<C>(high, highCodes<C>(wp, 3, v, p0, m, u), d0);
      v = at(wp + 16, 192);
      c1 = addProducts<C>(low, lowCodes<C>(3, v, l1, m, u), c1);
      d1 = addProducts<C>(high, highCodes<C>(wp + 16, 3, v, p1, m, u), d1);
      let i2 = t0, i3 = t0, j2 = t1, j3 = t1;
      let c2 = started<C>(t0), c3 = c2, d2 = started<C>(t1), d3 = d2;
      const l2 = packedLow<C>(wp + 32, m), l3 = packedLow<C>(wp + 48, m);
      const p2 = packedHigh<C>(wp + 32, m), p3 = packedHigh<C>(wp + 48, m);
      low = v128.load32_splat(xp), high = v128.load32_splat(xp, 16);
      v = at(wp + 32, 0);
      c2 = addProducts<C>(low, lowCodes<C>(0, v, l2, m, u), c2);
      d2 = addProducts<C>(high, highCodes<C>(wp + 32, 0, v, p2, m, u), d2);
      v = at(wp + 48, 0);
      c3 = addProducts<C>(low, lowCodes<C>(0, v, l3, m, u), c3);
      d3 = addProducts<C>(high, highCodes<C>(wp + 48, 0, v, p3, m, u), d3);
      low = v128.load32_splat(xp, 4), high = v128.load32_splat(xp, 20);
      v = at(wp + 32, 64);
      c2 = addProducts<C>(low, lowCodes<C>(1, v, l2, m, u), c2);
      d2 = addProducts<C>(high, highCodes<C>(wp + 32, 1, v, p2, m, u), d2);
      v = at(wp + 48, 64);
      c3 = addProducts<C>(low, lowCodes<C>(1, v, l3, m, u), c3);
      d3 = addProducts<C>(high, highCodes<C>(wp + 48, 1, v, p3, m, u), d3);
      if (isPaired<C>() && bits<C>() == 6) {
        i2 = finished<C>(i2, c2), i3 = finished<C>(i3, c3);
        j2 = finished<C>(j2, d2), j3 = finished<C>(j3, d3);
        c2 = started<C>(zero), c3 = c2, d2 = c2, d3 = c2;
      }
      low = v128.load32_splat(xp, 8), high = v128.load32_splat(xp, 24);
      v = at(wp + 32, 128);
      c2 = addProducts<C>(low, lowCodes<C>(2, v, l2, m, u), c2);
      d2 = addProducts<C>(high, highCodes<C>(wp + 32, 2, v, p2, m, u), d2);
      v = at(wp + 48, 128);
      c3 = addProducts<C>(low, lowCodes<C>(2, v, l3, m, u), c3);
      d3 = addProducts<C>(high, highCodes<C>(wp + 48, 2, v, p3, m, u), d3);
      low = v128.load32_splat(xp, 12), high = v128.load32_splat(xp, 28);
      v = at(wp + 32, 192);
      c2 = addProducts<C>(low, lowCodes<C>(3, v, l2, m, u), c2);
      d2 = addProducts<C>(high, highCodes<C>(wp + 32, 3, v, p2, m, u), d2);
      v = at(wp + 48, 192);
      c3 = addProducts<C>(low, lowCodes<C>(3, v, l3, m, u), c3);
      d3 = addProducts<C>(high, highCodes<C>(wp + 48, 3, v, p3, m, u), d3);
      c0 = finished<C>(i0, c0), d0 = finished<C>(j0, d0);
      c1 = finished<C>(i1, c1), d1 = finished<C>(j1, d1);
      c2 = finished<C>(i2, c2), d2 = finished<C>(j2, d2);
      c3 = finished<C>(i3, c3), d3 = finished<C>(j3, d3);
      if (isSuper<S>()) {
        c0 = scaledHalf(c0, halfBlockScale<S>(scales, 0, 0));
        d0 = scaledHalf(d0, halfBlockScale<S>(scales, 0, 1));
        b0 = addScaledHalves(b0, c0, d0, record);
        c1 = scaledHalf(c1, halfBlockScale<S>(scales, 1, 0));
        d1 = scaledHalf(d1, halfBlockScale<S>(scales, 1, 1));
        b1 = addScaledHalves(b1, c1, d1, record);
        c2 = scaledHalf(c2, halfBlockScale<S>(scales, 2, 0));
        d2 = scaledHalf(d2, halfBlockScale<S>(scales, 2, 1));
        b2 = addScaledHalves(b2, c2, d2, record);
        c3 = scaledHalf(c3, halfBlockScale<S>(scales, 3, 0));
        d3 = scaledHalf(d3, halfBlockScale<S>(scales, 3, 1));
        b3 = addScaledHalves(b3, c3, d3, record);
      } else {
        let s: v128, z: v128;
        s = halfBlockScale<S>(scales, 0, 0), z = halfBlockZero<S>(scales, 0, 0);
        a0 = addHalf(a0, c0, s, z, record, 0);
        s = halfBlockScale<S>(scales, 0, 1), z = halfBlockZero<S>(scales, 0, 1);
        a0 = addHalf(a0, d0, s, z, record, 1);
        s = halfBlockScale<S>(scales, 1, 0), z = halfBlockZero<S>(scales, 1, 0);
        a1 = addHalf(a1, c1, s, z, record, 0);
        s = halfBlockScale<S>(scales, 1, 1), z = halfBlockZero<S>(scales, 1, 1);
        a1 = addHalf(a1, d1, s, z, record, 1);
        s = halfBlockScale<S>(scales, 2, 0), z = halfBlockZero<S>(scales, 2, 0);
        a2 = addHalf(a2, c2, s, z, record, 0);
        s = halfBlockScale<S>(scales, 2, 1), z = halfBlockZero<S>(scales, 2, 1);
        a2 = addHalf(a2, d2, s, z, record, 1);
        s = halfBlockScale<S>(scales, 3, 0), z = halfBlockZero<S>(scales, 3, 0);
        a3 = addHalf(a3, c3, s, z, record, 0);
        s = halfBlockScale<S>(scales, 3, 1), z = halfBlockZero<S>(scales, 3, 1);
        a3 = addHalf(a3, d3, s, z, record, 1);
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
