// The dot products of relaxed SIMD in each of the ways in which a host may compute them.
import { READS_I8, READS_U8, SATURATES } from "../abi";

let hostReading: i32 = READS_U8;

/** Chooses the host to be: READS_U8, READS_I8 or SATURATES. */
export function readAs(reading: i32): void {
  hostReading = reading;
}

/** What lanes.ts takes instead of the instructions: four products to a lane of 32 bits. */
@global
function softDot(x: v128, w: v128, sum: v128): v128 {
  if (hostReading == SATURATES) {
    return i32x4.add(sum, i32x4.extadd_pairwise_i16x8_s(softDotPairs(x, w)));
  }
  return i32x4.add(sum, folded(products(x, w, false), products(x, w, true)));
}

/** Two products to a lane of 16 bits: saturated, or what remains of them. */
@global
function softDotPairs(x: v128, w: v128): v128 {
  const low = products(x, w, false), high = products(x, w, true);
  if (hostReading == SATURATES) return i16x8.narrow_i32x4_s(low, high);
  return v128.shuffle<i16>(low, high, 0, 2, 4, 6, 8, 10, 12, 14);
}

/** Sums of two products of half of the bytes. */
function products(x: v128, w: v128, high: bool): v128 {
  if (high) {
    x = v128.shuffle<i64>(x, x, 1, 0);
    w = v128.shuffle<i64>(w, w, 1, 0);
  }
  const signed = hostReading == READS_I8;
  return i32x4.dot_i16x8_s(
    i16x8.extend_low_i8x16_s(x),
    signed ? i16x8.extend_low_i8x16_s(w) : i16x8.extend_low_i8x16_u(w),
  );
}

@inline
function folded(low: v128, high: v128): v128 {
  return i32x4.add(
    v128.shuffle<i32>(low, high, 0, 2, 4, 6),
    v128.shuffle<i32>(low, high, 1, 3, 5, 7),
  );
}
