// Widths of stored codes as types, so that one body serves all of them: which is which is settled
// at compile time.
import { at, dot, dotPairs } from "./lanes";

/** 4-bit codes. */
export class Bits4 {}
/** 5-bit codes. */
export class Bits5 {}
/** 6-bit codes. */
export class Bits6 {}
/** 8-bit codes, read as the host's dot product reads them. */
export class Bits8 {}

// For hosts whose dot product saturates, which have no instruction for it either.
/** 8-bit codes as unsigned, multiplied in 16 bits. */
export class Bits8Wide {}
/** 4-bit codes whose products are summed in 16 bits first: 15 · 127 · 2 of 8 vectors fit. */
export class Bits4Pairs {}
/** 5-bit codes, of 4 vectors. */
export class Bits5Pairs {}
/** 6-bit codes, of 2 vectors. */
export class Bits6Pairs {}

/** Bits of a code. */
@inline
export function bits<C>(): i32 {
  if (idof<C>() == idof<Bits4>() || idof<C>() == idof<Bits4Pairs>()) return 4;
  if (idof<C>() == idof<Bits5>() || idof<C>() == idof<Bits5Pairs>()) return 5;
  if (idof<C>() == idof<Bits6>() || idof<C>() == idof<Bits6Pairs>()) return 6;
  return 8;
}

/** Whether products are summed in 16 bits first. */
@inline
export function isPaired<C>(): bool {
  return idof<C>() == idof<Bits4Pairs>() || idof<C>() == idof<Bits5Pairs>() ||
    idof<C>() == idof<Bits6Pairs>();
}

/** Adds products to a sum as the codes have it. */
@inline
export function addProducts<C>(x: v128, w: v128, sum: v128): v128 {
  return isPaired<C>() ? dotPairs(x, w, sum) : dot(x, w, sum);
}

/** What a sum of products starts from, if `initial` is to be in it at the end. */
@inline
export function started<C>(initial: v128): v128 {
  return isPaired<C>() ? i16x8.splat(0) : initial;
}

/** The sum in 32 bits of what began with started(). */
@inline
export function finished<C>(initial: v128, sum: v128): v128 {
  return isPaired<C>() ? i32x4.add(initial, i32x4.extadd_pairwise_i16x8_s(sum)) : sum;
}

/** Bytes of the codes of a block of 32 for 16 rows, which are also the offset of its scales. */
@inline
export function codeBytes<C>(): usize {
  return 64 * bits<C>();
}

// Masks come from calls, once before a loop: an engine makes a constant anew wherever it stands,
// and the optimiser would put it wherever it is used. Below, `m` is nibble() and `u` beyond().

/** What of a byte is the low nibble of a code. */
export function nibble(): v128 {
  return i8x16.splat(15);
}

/** Where the bits beyond the nibble are in a code. */
export function beyond<C>(): v128 {
  return i8x16.splat(bits<C>() == 5 ? 16 : bits<C>() == 6 ? 48 : 0);
}

/**
 * What the 5th, or 5th and 6th, bits of vector j add: they lie at bit `2 · j` of each byte of
 * `packed` and move to where `mask` is. Whole 16-bit lanes shift; the mask drops what came from the
 * byte beside.
 */
@inline
function upper(packed: v128, from: i32, mask: v128): v128 {
  if (from == 4) return v128.and(packed, mask);
  if (from < 4) return v128.and(i16x8.shl(packed, 4 - from), mask);
  return v128.and(i16x8.shr_u(packed, from - 4), mask);
}

/**
 * The packed 5th bits, or 5th and 6th, of the first half of the block of the four rows at `w`;
 * unused below 5 bits.
 */
@inline
export function packedLow<C>(w: usize, unused: v128): v128 {
  return bits<C>() == 5 || bits<C>() == 6 ? at(w, 256) : unused;
}

/** The same of the second half. */
@inline
export function packedHigh<C>(w: usize, unused: v128): v128 {
  return bits<C>() == 5 ? at(w, 256) : bits<C>() == 6 ? at(w, 320) : unused;
}

/** Codes of k = 4j … 4j + 3 (j below 4) of the four rows at `w`; `stored` is `at(w, 64 · j)`. */
@inline
export function lowCodes<C>(j: i32, stored: v128, packed: v128, m: v128, u: v128): v128 {
  if (bits<C>() == 8) return stored;
  const low = v128.and(stored, m);
  if (bits<C>() == 4) return low;
  return v128.or(low, upper(packed, 2 * j, u));
}

/** Codes of k = 16 + 4j … 16 + 4j + 3. */
@inline
export function highCodes<C>(
  w: usize,
  j: i32,
  stored: v128,
  packed: v128,
  m: v128,
  u: v128,
): v128 {
  if (bits<C>() == 8) return at(w, 256 + 64 * j);
  const high = v128.and(i16x8.shr_u(stored, 4), m);
  if (bits<C>() == 4) return high;
  return v128.or(high, upper(packed, bits<C>() == 5 ? 2 * j + 1 : 2 * j, u));
}

/**
 * Adds to `sum` the products of both vectors j of the four rows at `w` with their activations;
 * `stored` is `at(w, 64 · j)`.
 */
@inline
export function dotBoth<C>(
  w: usize,
  j: i32,
  stored: v128,
  low: v128,
  high: v128,
  sum: v128,
  packed: v128,
  m: v128,
  u: v128,
): v128 {
  sum = addProducts<C>(low, lowCodes<C>(j, stored, packed, m, u), sum);
  return addProducts<C>(high, highCodes<C>(w, j, stored, packed, m, u), sum);
}
