// Loads that a stored type needs, and the dot product of bytes.

/** 16 bytes at an address and an offset that is a constant after inlining. */
@inline
export function at(address: usize, offset: usize): v128 {
  return v128.load(address + offset);
}

/** The four bytes there, in every lane. */
@inline
export function splatAt(address: usize, offset: usize): v128 {
  return v128.load32_splat(address + offset);
}

/**
 * Adds four products of bytes to each lane of `sum`: i8 `x` by `w`, which WebAssembly lets a host
 * read as i8 or u8, and add in pairs that saturate at 16 bits. Exact on every host where `w` is
 * below 128; else see `probe()`.
 */
@inline
export function dot(x: v128, w: v128, sum: v128): v128 {
  if (isDefined(softDot)) return softDot(x, w, sum);
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, w, sum);
}

/**
 * Adds two products of bytes to each 16-bit lane of `sum`: two instructions on CPUs where dot() is
 * five. Exact while `w` is below 128 and the sums fit.
 */
@inline
export function dotPairs(x: v128, w: v128, sum: v128): v128 {
  if (isDefined(softDotPairs)) return i16x8.add(sum, softDotPairs(x, w));
  return i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(x, w));
}

/** What scaledHalves() keeps of an f16's bits after their move. */
export const HALF_MASK: i32 = 0x8fffe000;

/**
 * Four f16 as f32 · 2^-112: their bits moved to an f32's place, exact for subnormals too. What they
 * are multiplied by carries the rest. `mask` is HALF_MASK in every lane: a constant in a loop is
 * made anew at each use.
 */
@inline
export function scaledHalves(address: usize, offset: usize, mask: v128): v128 {
  return v128.and(i32x4.shl(v128.load16x4_s(address + offset), 13), mask);
}

/** Four u8 as i32. */
@inline
export function bytesUnsigned(address: usize, offset: usize): v128 {
  return i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(address + offset)));
}

/** Four i8 as i32. */
@inline
export function bytesSigned(address: usize, offset: usize): v128 {
  return i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(address + offset)));
}
