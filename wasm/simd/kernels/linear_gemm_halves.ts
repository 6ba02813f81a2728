// gemm() for scales that change in the middle of a block of 32.
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

/** Outputs of group g for M rows (a multiple of 4) of K values, xStride and yStride bytes apart. */
export function gemmHalves<C, S>(
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
  const group = w + <usize>g * groupBytes<S>(codeBytes<C>(), K), out = y + (<usize>g << 6);
  const from = bias ? bias + (<usize>g << 6) : 0;
  for (let quad: usize = 0; quad < 4; quad += 2) {
    const rest = from ? from + 16 * quad : 0;
    for (let r = 0; r < M; r += 4) {
      tile<C, S>(
        group,
        quad,
        x + <usize>r * xStride,
        xStride,
        out + 16 * quad + <usize>r * yStride,
        yStride,
        K,
        add,
        rest,
        offset,
      );
    }
  }
}

/** Eight outputs, from that quad of a group on, for four rows. */
function tile<C, S>(
  group: usize,
  quad: usize,
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
  let a00 = zero, a01 = zero;
  let a10 = zero, a11 = zero;
  let a20 = zero, a21 = zero;
  let a30 = zero, a31 = zero;
  let b00 = zero, b01 = zero;
  let b10 = zero, b11 = zero;
  let b20 = zero, b21 = zero;
  let b30 = zero, b31 = zero;
  let x1 = x0 + xStride, x2 = x1 + xStride, x3 = x2 + xStride;
  let r0 = x0 + <usize>K, r1 = r0 + xStride, r2 = r1 + xStride, r3 = r2 + xStride;
  let left = 8;
  let block = group;
  while (x0 < end) {
    const wp = block + 16 * quad, scales = block + codes;
    const v0 = at(wp, 0);
    let p0 = packedLow<C>(wp, m), p1 = packedLow<C>(wp + 16, m);
    let t: v128;
    let i00 = initialHalf<C, S>(r0, 0, offset), i01 = i00;
    let d00 = started<C>(i00), d01 = d00;
    let i10 = initialHalf<C, S>(r1, 0, offset), i11 = i10;
    let d10 = started<C>(i10), d11 = d10;
    let i20 = initialHalf<C, S>(r2, 0, offset), i21 = i20;
    let d20 = started<C>(i20), d21 = d20;
    let i30 = initialHalf<C, S>(r3, 0, offset), i31 = i30;
    let d30 = started<C>(i30), d31 = d30;
    let c = lowCodes<C>(0, v0, p0, m, u), v = lowCodes<C>(0, at(wp + 16, 0), p1, m, u);
    t = v128.load32_splat(x0);
    d00 = addProducts<C>(t, c, d00), d01 = addProducts<C>(t, v, d01);
    t = v128.load32_splat(x1);
    d10 = addProducts<C>(t, c, d10), d11 = addProducts<C>(t, v, d11);
    t = v128.load32_splat(x2);
    d20 = addProducts<C>(t, c, d20), d21 = addProducts<C>(t, v, d21);
    t = v128.load32_splat(x3);
    d30 = addProducts<C>(t, c, d30), d31 = addProducts<C>(t, v, d31);
    c = lowCodes<C>(1, at(wp, 64), p0, m, u);
    v = lowCodes<C>(1, at(wp + 16, 64), p1, m, u);
    t = v128.load32_splat(x0, 4);
    d00 = addProducts<C>(t, c, d00), d01 = addProducts<C>(t, v, d01);
    t = v128.load32_splat(x1, 4);
    d10 = addProducts<C>(t, c, d10), d11 = addProducts<C>(t, v, d11);
    t = v128.load32_splat(x2, 4);
    d20 = addProducts<C>(t, c, d20), d21 = addProducts<C>(t, v, d21);
    t = v128.load32_splat(x3, 4);
    d30 = addProducts<C>(t, c, d30), d31 = addProducts<C>(t, v, d31);
    if (isPaired<C>() && bits<C>() == 6) {
      i00 = finished<C>(i00, d00), i01 = finished<C>(i01, d01);
      d00 = started<C>(zero), d01 = d00;
      i10 = finished<C>(i10, d10), i11 = finished<C>(i11, d11);
      d10 = started<C>(zero), d11 = d10;
      i20 = finished<C>(i20, d20), i21 = finished<C>(i21, d21);
      d20 = started<C>(zero), d21 = d20;
      i30 = finished<C>(i30, d30), i31 = finished<C>(i31, d31);
      d30 = started<C>(zero), d31 = d30;
    }
    c = lowCodes<C>(2, at(wp, 128), p0, m, u);
    v = lowCodes<C>(2, at(wp + 16, 128), p1, m, u);
    t = v128.load32_splat(x0, 8);
    d00 = addProducts<C>(t, c, d00), d01 = addProducts<C>(t, v, d01);
    t = v128.load32_splat(x1, 8);
    d10 = addProducts<C>(t, c, d10), d11 = addProducts<C>(t, v, d11);
    t = v128.load32_splat(x2, 8);
    d20 = addProducts<C>(t, c, d20), d21 = addProducts<C>(t, v, d21);
    t = v128.load32_splat(x3, 8);
    d30 = addProducts<C>(t, c, d30), d31 = addProducts<C>(t, v, d31);
    c = lowCodes<C>(3, at(wp, 192), p0, m, u);
    v = lowCodes<C>(3, at(wp + 16, 192), p1, m, u);
    t = v128.load32_splat(x0, 12);
    d00 = addProducts<C>(t, c, d00), d01 = addProducts<C>(t, v, d01);
    t = v128.load32_splat(x1, 12);
    d10 = addProducts<C>(t, c, d10), d11 = addProducts<C>(t, v, d11);
    t = v128.load32_splat(x2, 12);
    d20 = addProducts<C>(t, c, d20), d21 = addProducts<C>(t, v, d21);
    t = v128.load32_splat(x3, 12);
    d30 = addProducts<C>(t, c, d30), d31 = addProducts<C>(t, v, d31);
    d00 = finished<C>(i00, d00), d01 = finished<C>(i01, d01);
    d10 = finished<C>(i10, d10), d11 = finished<C>(i11, d11);
    d20 = finished<C>(i20, d20), d21 = finished<C>(i21, d21);
    d30 = finished<C>(i30, d30), d31 = finished<C>(i31, d31);
    let f0 = halfBlockScale<S>(scales, quad, 0), f1 = halfBlockScale<S>(scales, quad + 1, 0);
    let h00 = zero, h01 = zero;
    let h10 = zero, h11 = zero;
    let h20 = zero, h21 = zero;
    let h30 = zero, h31 = zero;
    if (isSuper<S>()) {
      h00 = scaledHalf(d00, f0);
      h01 = scaledHalf(d01, f1);
      h10 = scaledHalf(d10, f0);
      h11 = scaledHalf(d11, f1);
      h20 = scaledHalf(d20, f0);
      h21 = scaledHalf(d21, f1);
      h30 = scaledHalf(d30, f0);
      h31 = scaledHalf(d31, f1);
    } else {
      const o0 = halfBlockZero<S>(scales, quad, 0), o1 = halfBlockZero<S>(scales, quad + 1, 0);
      a00 = addHalf(a00, d00, f0, o0, r0, 0);
      a01 = addHalf(a01, d01, f1, o1, r0, 0);
      a10 = addHalf(a10, d10, f0, o0, r1, 0);
      a11 = addHalf(a11, d11, f1, o1, r1, 0);
      a20 = addHalf(a20, d20, f0, o0, r2, 0);
      a21 = addHalf(a21, d21, f1, o1, r2, 0);
      a30 = addHalf(a30, d30, f0, o0, r3, 0);
      a31 = addHalf(a31, d31, f1, o1, r3, 0);
    }
    p0 = packedHigh<C>(wp, m), p1 = packedHigh<C>(wp + 16, m);
    i00 = initialHalf<C, S>(r0, 1, offset);
    i01 = i00;
    d00 = started<C>(i00);
    d01 = d00;
    i10 = initialHalf<C, S>(r1, 1, offset);
    i11 = i10;
    d10 = started<C>(i10);
    d11 = d10;
    i20 = initialHalf<C, S>(r2, 1, offset);
    i21 = i20;
    d20 = started<C>(i20);
    d21 = d20;
    i30 = initialHalf<C, S>(r3, 1, offset);
    i31 = i30;
    d30 = started<C>(i30);
    d31 = d30;
    c = highCodes<C>(wp, 0, at(wp, 0), p0, m, u);
    v = highCodes<C>(wp + 16, 0, at(wp + 16, 0), p1, m, u);
    t = v128.load32_splat(x0, 16);
    d00 = addProducts<C>(t, c, d00), d01 = addProducts<C>(t, v, d01);
    t = v128.load32_splat(x1, 16);
    d10 = addProducts<C>(t, c, d10), d11 = addProducts<C>(t, v, d11);
    t = v128.load32_splat(x2, 16);
    d20 = addProducts<C>(t, c, d20), d21 = addProducts<C>(t, v, d21);
    t = v128.load32_splat(x3, 16);
    d30 = addProducts<C>(t, c, d30), d31 = addProducts<C>(t, v, d31);
    c = highCodes<C>(wp, 1, at(wp, 64), p0, m, u);
    v = highCodes<C>(wp + 16, 1, at(wp + 16, 64), p1, m, u);
    t = v128.load32_splat(x0, 20);
    d00 = addProducts<C>(t, c, d00), d01 = addProducts<C>(t, v, d01);
    t = v128.load32_splat(x1, 20);
    d10 = addProducts<C>(t, c, d10), d11 = addProducts<C>(t, v, d11);
    t = v128.load32_splat(x2, 20);
    d20 = addProducts<C>(t, c, d20), d21 = addProducts<C>(t, v, d21);
    t = v128.load32_splat(x3, 20);
    d30 = addProducts<C>(t, c, d30), d31 = addProducts<C>(t, v, d31);
    if (isPaired<C>() && bits<C>() == 6) {
      i00 = finished<C>(i00, d00), i01 = finished<C>(i01, d01);
      d00 = started<C>(zero), d01 = d00;
      i10 = finished<C>(i10, d10), i11 = finished<C>(i11, d11);
      d10 = started<C>(zero), d11 = d10;
      i20 = finished<C>(i20, d20), i21 = finished<C>(i21, d21);
      d20 = started<C>(zero), d21 = d20;
      i30 = finished<C>(i30, d30), i31 = finished<C>(i31, d31);
      d30 = started<C>(zero), d31 = d30;
    }
    c = highCodes<C>(wp, 2, at(wp, 128), p0, m, u);
    v = highCodes<C>(wp + 16, 2, at(wp + 16, 128), p1, m, u);
    t = v128.load32_splat(x0, 24);
    d00 = addProducts<C>(t, c, d00), d01 = addProducts<C>(t, v, d01);
    t = v128.load32_splat(x1, 24);
    d10 = addProducts<C>(t, c, d10), d11 = addProducts<C>(t, v, d11);
    t = v128.load32_splat(x2, 24);
    d20 = addProducts<C>(t, c, d20), d21 = addProducts<C>(t, v, d21);
    t = v128.load32_splat(x3, 24);
    d30 = addProducts<C>(t, c, d30), d31 = addProducts<C>(t, v, d31);
    c = highCodes<C>(wp, 3, at(wp, 192), p0, m, u);
    v = highCodes<C>(wp + 16, 3, at(wp + 16, 192), p1, m, u);
    t = v128.load32_splat(x0, 28);
    d00 = addProducts<C>(t, c, d00), d01 = addProducts<C>(t, v, d01);
    t = v128.load32_splat(x1, 28);
    d10 = addProducts<C>(t, c, d10), d11 = addProducts<C>(t, v, d11);
    t = v128.load32_splat(x2, 28);
    d20 = addProducts<C>(t, c, d20), d21 = addProducts<C>(t, v, d21);
    t = v128.load32_splat(x3, 28);
    d30 = addProducts<C>(t, c, d30), d31 = addProducts<C>(t, v, d31);
    d00 = finished<C>(i00, d00), d01 = finished<C>(i01, d01);
    d10 = finished<C>(i10, d10), d11 = finished<C>(i11, d11);
    d20 = finished<C>(i20, d20), d21 = finished<C>(i21, d21);
    d30 = finished<C>(i30, d30), d31 = finished<C>(i31, d31);
    f0 = halfBlockScale<S>(scales, quad, 1);
    f1 = halfBlockScale<S>(scales, quad + 1, 1);
    if (isSuper<S>()) {
      d00 = scaledHalf(d00, f0);
      b00 = addScaledHalves(b00, h00, d00, r0);
      d01 = scaledHalf(d01, f1);
      b01 = addScaledHalves(b01, h01, d01, r0);
      d10 = scaledHalf(d10, f0);
      b10 = addScaledHalves(b10, h10, d10, r1);
      d11 = scaledHalf(d11, f1);
      b11 = addScaledHalves(b11, h11, d11, r1);
      d20 = scaledHalf(d20, f0);
      b20 = addScaledHalves(b20, h20, d20, r2);
      d21 = scaledHalf(d21, f1);
      b21 = addScaledHalves(b21, h21, d21, r2);
      d30 = scaledHalf(d30, f0);
      b30 = addScaledHalves(b30, h30, d30, r3);
      d31 = scaledHalf(d31, f1);
      b31 = addScaledHalves(b31, h31, d31, r3);
    } else {
      const o0 = halfBlockZero<S>(scales, quad, 1), o1 = halfBlockZero<S>(scales, quad + 1, 1);
      a00 = addHalf(a00, d00, f0, o0, r0, 1);
      a01 = addHalf(a01, d01, f1, o1, r0, 1);
      a10 = addHalf(a10, d10, f0, o0, r1, 1);
      a11 = addHalf(a11, d11, f1, o1, r1, 1);
      a20 = addHalf(a20, d20, f0, o0, r2, 1);
      a21 = addHalf(a21, d21, f1, o1, r2, 1);
      a30 = addHalf(a30, d30, f0, o0, r3, 1);
      a31 = addHalf(a31, d31, f1, o1, r3, 1);
    }
    block += step;
    x0 += 32, x1 += 32, x2 += 32, x3 += 32;
    r0 += 16, r1 += 16, r2 += 16, r3 += 16;
    if (isSuper<S>()) {
      if (--left == 0) {
        a00 = addSuper<S>(a00, b00, zero, block, quad, h);
        a01 = addSuper<S>(a01, b01, zero, block, quad + 1, h);
        a10 = addSuper<S>(a10, b10, zero, block, quad, h);
        a11 = addSuper<S>(a11, b11, zero, block, quad + 1, h);
        a20 = addSuper<S>(a20, b20, zero, block, quad, h);
        a21 = addSuper<S>(a21, b21, zero, block, quad + 1, h);
        a30 = addSuper<S>(a30, b30, zero, block, quad, h);
        a31 = addSuper<S>(a31, b31, zero, block, quad + 1, h);
        b00 = zero, b01 = zero;
        b10 = zero, b11 = zero;
        b20 = zero, b21 = zero;
        b30 = zero, b31 = zero;
        block += superBytes<S>();
        left = 8;
      }
    }
  }
  store(y, 0, unscaled<S>(a00), bias, add);
  store(y, 16, unscaled<S>(a01), bias, add);
  store(y + yStride, 0, unscaled<S>(a10), bias, add);
  store(y + yStride, 16, unscaled<S>(a11), bias, add);
  store(y + 2 * yStride, 0, unscaled<S>(a20), bias, add);
  store(y + 2 * yStride, 16, unscaled<S>(a21), bias, add);
  store(y + 3 * yStride, 0, unscaled<S>(a30), bias, add);
  store(y + 3 * yStride, 16, unscaled<S>(a31), bias, add);
}
