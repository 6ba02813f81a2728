// Four activation rows by groups of 16 weight rows, in tiles of 4 x 8, with the dot product of
// relaxed SIMD. Unrolled by hand: eight chains of dot products, a tile's every vector of weights
// serves four rows.
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

/** Outputs of group g for M rows (a multiple of 4) of K values, xStride and yStride bytes apart. */
export function gemm<C, S>(
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
  let m00 = zero, m01 = zero;
  let m10 = zero, m11 = zero;
  let m20 = zero, m21 = zero;
  let m30 = zero, m31 = zero;
  let x1 = x0 + xStride, x2 = x1 + xStride, x3 = x2 + xStride;
  let r0 = x0 + <usize>K, r1 = r0 + xStride, r2 = r1 + xStride, r3 = r2 + xStride;
  let left = 8;
  let block = group;
  while (x0 < end) {
    const wp = block + 16 * quad;
    let i00 = initial<C, S>(r0, offset), i01 = i00;
    let i10 = initial<C, S>(r1, offset), i11 = i10;
    let i20 = initial<C, S>(r2, offset), i21 = i20;
    let i30 = initial<C, S>(r3, offset), i31 = i30;
    let d00 = started<C>(i00), d01 = d00;
    let d10 = started<C>(i10), d11 = d10;
    let d20 = started<C>(i20), d21 = d20;
    let d30 = started<C>(i30), d31 = d30;
    let t: v128;
    let v = at(wp, 0);
    const p0 = packedLow<C>(wp, m), p1 = packedLow<C>(wp + 16, m);
    const l00 = lowCodes<C>(0, v, p0, m, u), h00 = highCodes<C>(wp, 0, v, p0, m, u);
    v = at(wp, 16);
    const l10 = lowCodes<C>(0, v, p1, m, u), h10 = highCodes<C>(wp + 16, 0, v, p1, m, u);
    t = v128.load32_splat(x0);
    d00 = addProducts<C>(t, l00, d00), d01 = addProducts<C>(t, l10, d01);
    t = v128.load32_splat(x0, 16);
    d00 = addProducts<C>(t, h00, d00), d01 = addProducts<C>(t, h10, d01);
    t = v128.load32_splat(x1);
    d10 = addProducts<C>(t, l00, d10), d11 = addProducts<C>(t, l10, d11);
    t = v128.load32_splat(x1, 16);
    d10 = addProducts<C>(t, h00, d10), d11 = addProducts<C>(t, h10, d11);
    t = v128.load32_splat(x2);
    d20 = addProducts<C>(t, l00, d20), d21 = addProducts<C>(t, l10, d21);
    t = v128.load32_splat(x2, 16);
    d20 = addProducts<C>(t, h00, d20), d21 = addProducts<C>(t, h10, d21);
    t = v128.load32_splat(x3);
    d30 = addProducts<C>(t, l00, d30), d31 = addProducts<C>(t, l10, d31);
    t = v128.load32_splat(x3, 16);
    d30 = addProducts<C>(t, h00, d30), d31 = addProducts<C>(t, h10, d31);
    v = at(wp, 64);
    const l01 = lowCodes<C>(1, v, p0, m, u), h01 = highCodes<C>(wp, 1, v, p0, m, u);
    v = at(wp, 80);
    const l11 = lowCodes<C>(1, v, p1, m, u), h11 = highCodes<C>(wp + 16, 1, v, p1, m, u);
    t = v128.load32_splat(x0, 4);
    d00 = addProducts<C>(t, l01, d00), d01 = addProducts<C>(t, l11, d01);
    t = v128.load32_splat(x0, 20);
    d00 = addProducts<C>(t, h01, d00), d01 = addProducts<C>(t, h11, d01);
    t = v128.load32_splat(x1, 4);
    d10 = addProducts<C>(t, l01, d10), d11 = addProducts<C>(t, l11, d11);
    t = v128.load32_splat(x1, 20);
    d10 = addProducts<C>(t, h01, d10), d11 = addProducts<C>(t, h11, d11);
    t = v128.load32_splat(x2, 4);
    d20 = addProducts<C>(t, l01, d20), d21 = addProducts<C>(t, l11, d21);
    t = v128.load32_splat(x2, 20);
    d20 = addProducts<C>(t, h01, d20), d21 = addProducts<C>(t, h11, d21);
    t = v128.load32_splat(x3, 4);
    d30 = addProducts<C>(t, l01, d30), d31 = addProducts<C>(t, l11, d31);
    t = v128.load32_splat(x3, 20);
    d30 = addProducts<C>(t, h01, d30), d31 = addProducts<C>(t, h11, d31);
    if (isPaired<C>() && bits<C>() == 5) {
      i00 = finished<C>(i00, d00), i01 = finished<C>(i01, d01);
      d00 = started<C>(zero), d01 = started<C>(zero);
      i10 = finished<C>(i10, d10), i11 = finished<C>(i11, d11);
      d10 = started<C>(zero), d11 = started<C>(zero);
      i20 = finished<C>(i20, d20), i21 = finished<C>(i21, d21);
      d20 = started<C>(zero), d21 = started<C>(zero);
      i30 = finished<C>(i30, d30), i31 = finished<C>(i31, d31);
      d30 = started<C>(zero), d31 = started<C>(zero);
    }
    v = at(wp, 128);
    const l02 = lowCodes<C>(2, v, p0, m, u), h02 = highCodes<C>(wp, 2, v, p0, m, u);
    v = at(wp, 144);
    const l12 = lowCodes<C>(2, v, p1, m, u), h12 = highCodes<C>(wp + 16, 2, v, p1, m, u);
    t = v128.load32_splat(x0, 8);
    d00 = addProducts<C>(t, l02, d00), d01 = addProducts<C>(t, l12, d01);
    t = v128.load32_splat(x0, 24);
    d00 = addProducts<C>(t, h02, d00), d01 = addProducts<C>(t, h12, d01);
    t = v128.load32_splat(x1, 8);
    d10 = addProducts<C>(t, l02, d10), d11 = addProducts<C>(t, l12, d11);
    t = v128.load32_splat(x1, 24);
    d10 = addProducts<C>(t, h02, d10), d11 = addProducts<C>(t, h12, d11);
    t = v128.load32_splat(x2, 8);
    d20 = addProducts<C>(t, l02, d20), d21 = addProducts<C>(t, l12, d21);
    t = v128.load32_splat(x2, 24);
    d20 = addProducts<C>(t, h02, d20), d21 = addProducts<C>(t, h12, d21);
    t = v128.load32_splat(x3, 8);
    d30 = addProducts<C>(t, l02, d30), d31 = addProducts<C>(t, l12, d31);
    t = v128.load32_splat(x3, 24);
    d30 = addProducts<C>(t, h02, d30), d31 = addProducts<C>(t, h12, d31);
    v = at(wp, 192);
    const l03 = lowCodes<C>(3, v, p0, m, u), h03 = highCodes<C>(wp, 3, v, p0, m, u);
    v = at(wp, 208);
    const l13 = lowCodes<C>(3, v, p1, m, u), h13 = highCodes<C>(wp + 16, 3, v, p1, m, u);
    t = v128.load32_splat(x0, 12);
    d00 = addProducts<C>(t, l03, d00), d01 = addProducts<C>(t, l13, d01);
    t = v128.load32_splat(x0, 28);
    d00 = addProducts<C>(t, h03, d00), d01 = addProducts<C>(t, h13, d01);
    t = v128.load32_splat(x1, 12);
    d10 = addProducts<C>(t, l03, d10), d11 = addProducts<C>(t, l13, d11);
    t = v128.load32_splat(x1, 28);
    d10 = addProducts<C>(t, h03, d10), d11 = addProducts<C>(t, h13, d11);
    t = v128.load32_splat(x2, 12);
    d20 = addProducts<C>(t, l03, d20), d21 = addProducts<C>(t, l13, d21);
    t = v128.load32_splat(x2, 28);
    d20 = addProducts<C>(t, h03, d20), d21 = addProducts<C>(t, h13, d21);
    t = v128.load32_splat(x3, 12);
    d30 = addProducts<C>(t, l03, d30), d31 = addProducts<C>(t, l13, d31);
    t = v128.load32_splat(x3, 28);
    d30 = addProducts<C>(t, h03, d30), d31 = addProducts<C>(t, h13, d31);
    d00 = finished<C>(i00, d00), d01 = finished<C>(i01, d01);
    d10 = finished<C>(i10, d10), d11 = finished<C>(i11, d11);
    d20 = finished<C>(i20, d20), d21 = finished<C>(i21, d21);
    d30 = finished<C>(i30, d30), d31 = finished<C>(i31, d31);
    const scales = block + codes, t0 = total<S>(r0), t1 = total<S>(r1);
    const t2 = total<S>(r2), t3 = total<S>(r3);
    const f0 = blockScale<S>(scales, quad, h), f1 = blockScale<S>(scales, quad + 1, h);
    const o0 = blockOffset<S>(scales, quad, h), o1 = blockOffset<S>(scales, quad + 1, h);
    if (isSuper<S>()) {
      b00 = addBlock<S>(b00, d00, f0, o0, r0, t0);
      b01 = addBlock<S>(b01, d01, f1, o1, r0, t0);
      b10 = addBlock<S>(b10, d10, f0, o0, r1, t1);
      b11 = addBlock<S>(b11, d11, f1, o1, r1, t1);
      b20 = addBlock<S>(b20, d20, f0, o0, r2, t2);
      b21 = addBlock<S>(b21, d21, f1, o1, r2, t2);
      b30 = addBlock<S>(b30, d30, f0, o0, r3, t3);
      b31 = addBlock<S>(b31, d31, f1, o1, r3, t3);
    } else {
      a00 = addBlock<S>(a00, d00, f0, o0, r0, t0);
      a01 = addBlock<S>(a01, d01, f1, o1, r0, t0);
      a10 = addBlock<S>(a10, d10, f0, o0, r1, t1);
      a11 = addBlock<S>(a11, d11, f1, o1, r1, t1);
      a20 = addBlock<S>(a20, d20, f0, o0, r2, t2);
      a21 = addBlock<S>(a21, d21, f1, o1, r2, t2);
      a30 = addBlock<S>(a30, d30, f0, o0, r3, t3);
      a31 = addBlock<S>(a31, d31, f1, o1, r3, t3);
    }
    if (hasSuperMin<S>()) {
      m00 = addMinima(m00, o0, r0);
      m01 = addMinima(m01, o1, r0);
      m10 = addMinima(m10, o0, r1);
      m11 = addMinima(m11, o1, r1);
      m20 = addMinima(m20, o0, r2);
      m21 = addMinima(m21, o1, r2);
      m30 = addMinima(m30, o0, r3);
      m31 = addMinima(m31, o1, r3);
    }
    block += step;
    x0 += 32, x1 += 32, x2 += 32, x3 += 32;
    r0 += 16, r1 += 16, r2 += 16, r3 += 16;
    if (isSuper<S>()) {
      if (--left == 0) {
        a00 = addSuper<S>(a00, b00, m00, block, quad, h);
        a01 = addSuper<S>(a01, b01, m01, block, quad + 1, h);
        a10 = addSuper<S>(a10, b10, m10, block, quad, h);
        a11 = addSuper<S>(a11, b11, m11, block, quad + 1, h);
        a20 = addSuper<S>(a20, b20, m20, block, quad, h);
        a21 = addSuper<S>(a21, b21, m21, block, quad + 1, h);
        a30 = addSuper<S>(a30, b30, m30, block, quad, h);
        a31 = addSuper<S>(a31, b31, m31, block, quad + 1, h);
        b00 = zero, b01 = zero;
        b10 = zero, b11 = zero;
        b20 = zero, b21 = zero;
        b30 = zero, b31 = zero;
        m00 = zero, m01 = zero;
        m10 = zero, m11 = zero;
        m20 = zero, m21 = zero;
        m30 = zero, m31 = zero;
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
