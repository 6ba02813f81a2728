/** Arithmetic on four lanes. Strict operations only: the same bits on every host. */

/** Sum of the lanes: (0 + 2) + (1 + 3). */
@inline
export function hsum(a: v128): f32 {
  a = f32x4.add(a, v128.shuffle<i32>(a, a, 2, 3, 0, 1));
  return f32x4.extract_lane(a, 0) + f32x4.extract_lane(a, 1);
}

/** The largest lane, as `pmax` takes it: a NaN may be passed over. */
@inline
export function hmax(a: v128): f32 {
  a = f32x4.pmax(a, v128.shuffle<i32>(a, a, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmax(a, v128.shuffle<i32>(a, a, 1, 0, 3, 2)), 0);
}

/** The largest lane; NaN where a lane is NaN. */
@inline
export function hmaxOrNaN(a: v128): f32 {
  a = f32x4.max(a, v128.shuffle<i32>(a, a, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.max(a, v128.shuffle<i32>(a, a, 1, 0, 3, 2)), 0);
}

/**
 * e^x for x <= 88, as 2^n · 2^f with |f| <= 1/2 and the best polynomial of degree 5 for 2^f.
 * Relative error below 3e-7 + 8e-8 · |x|; 0 below -87, where the result would be subnormal; NaN of
 * NaN.
 *
 * n comes from adding 1.5 · 2^23, which leaves the nearest integer in the lowest bits of the sum.
 */
@inline
export function exp(x: v128): v128 {
  const magic = f32x4.splat(12582912.0), t = f32x4.mul(x, f32x4.splat(1.44269504089));
  const sum = f32x4.add(t, magic), f = f32x4.sub(t, f32x4.sub(sum, magic));
  let p = f32x4.splat(0.00132647145);
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(0.009671513));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(0.05550734));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(0.24022242));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(0.693147));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.0));
  const power = i32x4.shl(i32x4.add(sum, i32x4.splat(127)), 23);
  return v128.andnot(f32x4.mul(p, power), f32x4.lt(x, f32x4.splat(-87.0)));
}

/** f16, sign-extended to 32 bits, as f32: exact. */
@inline
export function f16ToF32(half: v128): v128 {
  // In an f32's place the bits are worth 2^-112 of it, subnormals too.
  const bits = v128.and(i32x4.shl(half, 13), i32x4.splat(0x8fffe000));
  const special = i32x4.splat(0x0f800000);
  const isSpecial = i32x4.eq(v128.and(bits, special), special);
  const value = f32x4.mul(bits, f32x4.splat(5192296858534827628530496329220096.0));
  return v128.or(value, v128.and(isSpecial, i32x4.splat(0x7f800000)));
}

/**
 * f32 to f16 in the low half of each lane, rounded to nearest even; beyond 65520 infinity, NaN a
 * quiet NaN. Subnormals are rounded by an addition whose unit in the last place is theirs (Giesen,
 * "Float->half").
 */
@inline
export function f32ToF16(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000)), a = v128.xor(x, sign);
  const odd = v128.and(i32x4.shr_u(a, 13), i32x4.splat(1));
  // 15 - 127 in the exponent's place, and half of the last place less one, for round to even.
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(a, i32x4.splat(0xc8000fff)), odd), 13);
  const subnormal = i32x4.sub(f32x4.add(a, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  let h = v128.bitselect(subnormal, normal, i32x4.lt_s(a, i32x4.splat(0x38800000)));
  h = v128.bitselect(i32x4.splat(0x7c00), h, i32x4.ge_s(a, i32x4.splat(0x47800000)));
  h = v128.bitselect(i32x4.splat(0x7e00), h, i32x4.gt_s(a, i32x4.splat(0x7f800000)));
  return v128.or(h, i32x4.shr_u(sign, 16));
}
