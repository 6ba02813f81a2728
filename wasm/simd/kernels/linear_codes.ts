// Widths of stored codes as types, so that one body serves all of them: which is which is settled
// at compile time.
import { at, dot } from "./lanes";

/** 4-bit codes. */
export class Bits4 {}
/** 5-bit codes. */
export class Bits5 {}
/** 6-bit codes. */
export class Bits6 {}
/** 8-bit codes, read as the host's dot product reads them. */
export class Bits8 {}

/** 8-bit codes as unsigned, multiplied in 16 bits: for hosts whose dot product saturates. */
export class Bits8Wide {}

/** Bits of a code. */
@inline
export function bits<C>(): i32 {
  return idof<C>() == idof<Bits4>()
    ? 4
    : idof<C>() == idof<Bits5>()
    ? 5
    : idof<C>() == idof<Bits6>()
    ? 6
    : 8;
}

/** Bytes of the codes of a block of 32 for 16 rows, which are also the offset of its scales. */
@inline
export function codeBytes<C>(): usize {
  return 64 * bits<C>();
}

// Masks come from calls, once before a loop: an engine makes a constant anew wherever it stands,
// and the optimiser would put it wherever it is used.

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
 * Adds to `sum` the products of both vectors j of the four rows at `w` with the activations for
 * them.
 */
@inline
export function dotBoth<C>(
  w: usize,
  j: i32,
  low: v128,
  high: v128,
  sum: v128,
  packed: v128,
  m: v128,
  u: v128,
): v128 {
  const stored = at(w, 64 * j);
  sum = dot(low, lowCodes<C>(j, stored, packed, m, u), sum);
  return dot(high, highCodes<C>(w, j, stored, packed, m, u), sum);
}
