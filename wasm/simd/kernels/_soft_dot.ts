// The dot product of relaxed SIMD in each of the ways in which a host may compute it.
import { READS_I8, READS_U8 } from "../abi";

let hostReading: i32 = READS_U8;

/** Chooses the host to be: READS_U8, READS_I8 or SATURATES. */
export function readAs(reading: i32): void {
  hostReading = reading;
}

/** What lanes.ts takes instead of the instruction. */
@global
function softDot(x: v128, w: v128, sum: v128): v128 {
  const lowX = i16x8.extend_low_i8x16_s(x), highX = i16x8.extend_high_i8x16_s(x);
  if (hostReading == READS_I8) {
    const low = i32x4.dot_i16x8_s(lowX, i16x8.extend_low_i8x16_s(w));
    const high = i32x4.dot_i16x8_s(highX, i16x8.extend_high_i8x16_s(w));
    return i32x4.add(sum, pairs(low, high));
  }
  const low = i32x4.dot_i16x8_s(lowX, i16x8.extend_low_i8x16_u(w));
  const high = i32x4.dot_i16x8_s(highX, i16x8.extend_high_i8x16_u(w));
  if (hostReading == READS_U8) return i32x4.add(sum, pairs(low, high));
  // Sums of two products saturate to i16, as narrowing does.
  const narrow = i16x8.narrow_i32x4_s(low, high);
  return i32x4.add(sum, i32x4.extadd_pairwise_i16x8_s(narrow));
}

@inline
function pairs(low: v128, high: v128): v128 {
  return i32x4.add(
    v128.shuffle<i32>(low, high, 0, 2, 4, 6),
    v128.shuffle<i32>(low, high, 1, 3, 5, 7),
  );
}
