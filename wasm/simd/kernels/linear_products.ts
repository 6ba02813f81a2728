// Integer products of a block without relaxed SIMD: bytes multiply into lanes of 16 bits, as many
// of them as cannot overflow. Exact, so the bits are those of the dot product.

import { bits, Bits8Wide } from "./linear_codes";

/** Adds the products of the first two of four rows to eight 16-bit lanes. */
@inline
function addLow(sum: v128, x: v128, w: v128): v128 {
  return i16x8.add(sum, i16x8.extmul_low_i8x16_s(x, w));
}

/** The same for the other two. */
@inline
function addHigh(sum: v128, x: v128, w: v128): v128 {
  return i16x8.add(sum, i16x8.extmul_high_i8x16_s(x, w));
}

/** Pairs of lanes of two rows each to a sum for each of the four rows. */
@inline
function folded(low: v128, high: v128): v128 {
  return i32x4.add(
    v128.shuffle<i32>(low, high, 0, 2, 4, 6),
    v128.shuffle<i32>(low, high, 1, 3, 5, 7),
  );
}

/**
 * Sums over 16 activations at x for four rows, whose codes are w0 to w3: up to 63 · 127 · 4 fits 16
 * bits.
 */
@inline
export function halfSum<C>(x: usize, w0: v128, w1: v128, w2: v128, w3: v128): v128 {
  const x0 = v128.load32_splat(x),
    x1 = v128.load32_splat(x, 4),
    x2 = v128.load32_splat(x, 8),
    x3 = v128.load32_splat(x, 12);
  if (idof<C>() == idof<Bits8Wide>()) {
    return folded(
      i32x4.add(
        i32x4.add(wideLow(x0, w0), wideLow(x1, w1)),
        i32x4.add(wideLow(x2, w2), wideLow(x3, w3)),
      ),
      i32x4.add(
        i32x4.add(wideHigh(x0, w0), wideHigh(x1, w1)),
        i32x4.add(wideHigh(x2, w2), wideHigh(x3, w3)),
      ),
    );
  }
  let low = addLow(i16x8.extmul_low_i8x16_s(x0, w0), x1, w1);
  let high = addHigh(i16x8.extmul_high_i8x16_s(x0, w0), x1, w1);
  if (bits<C>() < 8) {
    low = addLow(addLow(low, x2, w2), x3, w3);
    high = addHigh(addHigh(high, x2, w2), x3, w3);
    return folded(i32x4.extadd_pairwise_i16x8_s(low), i32x4.extadd_pairwise_i16x8_s(high));
  }
  const low2 = addLow(i16x8.extmul_low_i8x16_s(x2, w2), x3, w3);
  const high2 = addHigh(i16x8.extmul_high_i8x16_s(x2, w2), x3, w3);
  return folded(
    i32x4.add(i32x4.extadd_pairwise_i16x8_s(low), i32x4.extadd_pairwise_i16x8_s(low2)),
    i32x4.add(i32x4.extadd_pairwise_i16x8_s(high), i32x4.extadd_pairwise_i16x8_s(high2)),
  );
}

/** Sums over 32 activations: for up to 5 bits, 31 · 127 · 8 fits 16 bits. */
@inline
export function blockSum<C>(
  x: usize,
  w0: v128,
  w1: v128,
  w2: v128,
  w3: v128,
  w4: v128,
  w5: v128,
  w6: v128,
  w7: v128,
): v128 {
  if (bits<C>() > 5) {
    return i32x4.add(halfSum<C>(x, w0, w1, w2, w3), halfSum<C>(x + 16, w4, w5, w6, w7));
  }
  let t = v128.load32_splat(x);
  let low = i16x8.extmul_low_i8x16_s(t, w0), high = i16x8.extmul_high_i8x16_s(t, w0);
  t = v128.load32_splat(x, 4);
  low = addLow(low, t, w1), high = addHigh(high, t, w1);
  t = v128.load32_splat(x, 8);
  low = addLow(low, t, w2), high = addHigh(high, t, w2);
  t = v128.load32_splat(x, 12);
  low = addLow(low, t, w3), high = addHigh(high, t, w3);
  t = v128.load32_splat(x, 16);
  low = addLow(low, t, w4), high = addHigh(high, t, w4);
  t = v128.load32_splat(x, 20);
  low = addLow(low, t, w5), high = addHigh(high, t, w5);
  t = v128.load32_splat(x, 24);
  low = addLow(low, t, w6), high = addHigh(high, t, w6);
  t = v128.load32_splat(x, 28);
  low = addLow(low, t, w7), high = addHigh(high, t, w7);
  return folded(i32x4.extadd_pairwise_i16x8_s(low), i32x4.extadd_pairwise_i16x8_s(high));
}

/** Products in 16 bits of i8 activations with u8 codes, summed in pairs to 32 bits. */
@inline
function wideLow(x: v128, w: v128): v128 {
  return i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(x), i16x8.extend_low_i8x16_u(w));
}

@inline
function wideHigh(x: v128, w: v128): v128 {
  return i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(x), i16x8.extend_high_i8x16_u(w));
}
