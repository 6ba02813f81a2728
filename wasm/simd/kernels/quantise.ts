// Activations as int8, a scale for each block of 32.
import { BLOCK } from "../abi";
import { at } from "./lanes";

/**
 * Eight vectors of f32, a block of 32, as int8 codes (x · 127 / absmax, to nearest even) and the
 * block's record of 16 bytes: f32 s = absmax / 127 · 2^64, f32 s · sum of the codes, i32 sum of
 * codes 0 to 15, and of 16 to 31.
 */
@inline
export function quantiseBlock(
  v0: v128,
  v1: v128,
  v2: v128,
  v3: v128,
  v4: v128,
  v5: v128,
  v6: v128,
  v7: v128,
  codes: usize,
  record: usize,
): void {
  // As integers, absolute values keep their order, and a NaN is the largest.
  let m = i32x4.max_s(i32x4.max_s(magnitude(v0), magnitude(v1)), magnitude(v2));
  m = i32x4.max_s(i32x4.max_s(m, magnitude(v3)), magnitude(v4));
  m = i32x4.max_s(i32x4.max_s(m, magnitude(v5)), i32x4.max_s(magnitude(v6), magnitude(v7)));
  m = i32x4.max_s(m, v128.shuffle<i32>(m, m, 2, 3, 0, 1));
  m = i32x4.max_s(m, v128.shuffle<i32>(m, m, 1, 0, 3, 2));
  const largest = f32x4.extract_lane(m, 0);
  // Below 2^-120 the quotient would overflow, and the block is as good as zero.
  const inverse = f32x4.splat(largest > 7.6e-37 ? <f32>127 / largest : 0);
  const i0 = rounded(v0, inverse);
  const i1 = rounded(v1, inverse);
  const i2 = rounded(v2, inverse);
  const i3 = rounded(v3, inverse);
  const i4 = rounded(v4, inverse);
  const i5 = rounded(v5, inverse);
  const i6 = rounded(v6, inverse);
  const i7 = rounded(v7, inverse);
  const first = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(i0, i1), i16x8.narrow_i32x4_s(i2, i3));
  const second = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(i4, i5), i16x8.narrow_i32x4_s(i6, i7));
  v128.store(codes, first);
  v128.store(codes, second, 16);
  const sumFirst = sumCodes(i32x4.add(i32x4.add(i0, i1), i32x4.add(i2, i3)));
  const sumSecond = sumCodes(i32x4.add(i32x4.add(i4, i5), i32x4.add(i6, i7)));
  const scale = (largest / 127) * <f32>18446744073709551616.0;
  f32.store(record, scale);
  f32.store(record, scale * <f32>(sumFirst + sumSecond), 4);
  i32.store(record, sumFirst, 8);
  i32.store(record, sumSecond, 12);
}

@inline
function magnitude(v: v128): v128 {
  return v128.and(v, i32x4.splat(0x7fffffff));
}

@inline
function rounded(v: v128, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v, inverse)));
}

@inline
function sumCodes(v: v128): i32 {
  const pairs = i32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1);
}

/** Quantises a row of K f32, K a multiple of 32, into K codes and K / 32 records behind them. */
export function quantiseRow(x: usize, out: usize, K: i32): void {
  let record = out + <usize>K;
  for (const end = record; out < end; out += BLOCK) {
    quantiseBlock(
      at(x, 0),
      at(x, 16),
      at(x, 32),
      at(x, 48),
      at(x, 64),
      at(x, 80),
      at(x, 96),
      at(x, 112),
      out,
      record,
    );
    x += 4 * BLOCK;
    record += 16;
  }
}
