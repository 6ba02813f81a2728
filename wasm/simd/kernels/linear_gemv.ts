// One activation row by groups of 16 weight rows, with the dot product of relaxed SIMD. Unrolled by
// hand: four quads of rows side by side keep four chains of dot products and four sums in
// registers.
import { at } from "./lanes";
import {
  beyond,
  bits,
  codeBytes,
  dotBoth,
  finished,
  isPaired,
  nibble,
  packedLow,
  started,
} from "./linear_codes";
import {
  addBlock,
  addMinima,
  addSuper,
  blockOffset,
  blockScale,
  groupBytes,
  halfMask,
  hasSuperMin,
  initial,
  isSuper,
  scaleBytes,
  store,
  superBytes,
  total,
  unscaled,
} from "./linear_scales";

/**
 * Outputs of groups g0 to g1 for one quantised row x of K values, to y (the row's first output).
 */
export function gemv<C, S>(
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
  const codes = codeBytes<C>(), step = codes + scaleBytes<S>();
  let wp = w + <usize>g0 * groupBytes<S>(codes, K);
  for (let g = g0; g < g1; g++) {
    const zero = f32x4.splat(0);
    let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
    let b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    let m0 = zero, m1 = zero, m2 = zero, m3 = zero;
    let left = 8;
    let record = x + <usize>K;
    for (let xp = x; xp < x + <usize>K; xp += 32) {
      let i0 = initial<C, S>(record, offset), i1 = i0, i2 = i0, i3 = i0;
      const zeros = started<C>(i0), all = total<S>(record);
      let d0 = zeros, d1 = zeros, d2 = zeros, d3 = zeros;
      // In the order of addresses: a CPU that fetches ahead loses the thread otherwise.
      const v0 = at(wp, 0), v1 = at(wp, 16), v2 = at(wp, 32), v3 = at(wp, 48);
      const e0 = packedLow<C>(wp, m), e1 = packedLow<C>(wp + 16, m);
      const e2 = packedLow<C>(wp + 32, m), e3 = packedLow<C>(wp + 48, m);
      let low = v128.load32_splat(xp), high = v128.load32_splat(xp, 16);
      d0 = dotBoth<C>(wp, 0, v0, low, high, d0, e0, m, u);
      d1 = dotBoth<C>(wp + 16, 0, v1, low, high, d1, e1, m, u);
      d2 = dotBoth<C>(wp + 32, 0, v2, low, high, d2, e2, m, u);
      d3 = dotBoth<C>(wp + 48, 0, v3, low, high, d3, e3, m, u);
      low = v128.load32_splat(xp, 4);
      high = v128.load32_splat(xp, 20);
      d0 = dotBoth<C>(wp, 1, at(wp, 64), low, high, d0, e0, m, u);
      d1 = dotBoth<C>(wp + 16, 1, at(wp, 80), low, high, d1, e1, m, u);
      d2 = dotBoth<C>(wp + 32, 1, at(wp, 96), low, high, d2, e2, m, u);
      d3 = dotBoth<C>(wp + 48, 1, at(wp, 112), low, high, d3, e3, m, u);
      if (isPaired<C>() && bits<C>() == 5) {
        i0 = finished<C>(i0, d0), i1 = finished<C>(i1, d1);
        i2 = finished<C>(i2, d2), i3 = finished<C>(i3, d3);
        d0 = zeros, d1 = zeros, d2 = zeros, d3 = zeros;
      }
      low = v128.load32_splat(xp, 8);
      high = v128.load32_splat(xp, 24);
      d0 = dotBoth<C>(wp, 2, at(wp, 128), low, high, d0, e0, m, u);
      d1 = dotBoth<C>(wp + 16, 2, at(wp, 144), low, high, d1, e1, m, u);
      d2 = dotBoth<C>(wp + 32, 2, at(wp, 160), low, high, d2, e2, m, u);
      d3 = dotBoth<C>(wp + 48, 2, at(wp, 176), low, high, d3, e3, m, u);
      low = v128.load32_splat(xp, 12);
      high = v128.load32_splat(xp, 28);
      d0 = dotBoth<C>(wp, 3, at(wp, 192), low, high, d0, e0, m, u);
      d1 = dotBoth<C>(wp + 16, 3, at(wp, 208), low, high, d1, e1, m, u);
      d2 = dotBoth<C>(wp + 32, 3, at(wp, 224), low, high, d2, e2, m, u);
      d3 = dotBoth<C>(wp + 48, 3, at(wp, 240), low, high, d3, e3, m, u);
      d0 = finished<C>(i0, d0), d1 = finished<C>(i1, d1);
      d2 = finished<C>(i2, d2), d3 = finished<C>(i3, d3);
      const scales = wp + codes;
      let s = blockScale<S>(scales, 0, h), o = blockOffset<S>(scales, 0, h);
      if (isSuper<S>()) b0 = addBlock<S>(b0, d0, s, o, record, all);
      else a0 = addBlock<S>(a0, d0, s, o, record, all);
      if (hasSuperMin<S>()) m0 = addMinima(m0, o, record);
      s = blockScale<S>(scales, 1, h), o = blockOffset<S>(scales, 1, h);
      if (isSuper<S>()) b1 = addBlock<S>(b1, d1, s, o, record, all);
      else a1 = addBlock<S>(a1, d1, s, o, record, all);
      if (hasSuperMin<S>()) m1 = addMinima(m1, o, record);
      s = blockScale<S>(scales, 2, h), o = blockOffset<S>(scales, 2, h);
      if (isSuper<S>()) b2 = addBlock<S>(b2, d2, s, o, record, all);
      else a2 = addBlock<S>(a2, d2, s, o, record, all);
      if (hasSuperMin<S>()) m2 = addMinima(m2, o, record);
      s = blockScale<S>(scales, 3, h), o = blockOffset<S>(scales, 3, h);
      if (isSuper<S>()) b3 = addBlock<S>(b3, d3, s, o, record, all);
      else a3 = addBlock<S>(a3, d3, s, o, record, all);
      if (hasSuperMin<S>()) m3 = addMinima(m3, o, record);
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
    const out = <usize>g << 6, from = bias ? bias + out : 0;
    store(y + out, 0, unscaled<S>(a0), from, add);
    store(y + out, 16, unscaled<S>(a1), from, add);
    store(y + out, 32, unscaled<S>(a2), from, add);
    store(y + out, 48, unscaled<S>(a3), from, add);
  }
}
