/** What the attention kernels of all cache types share: tiles of up to four query rows. */

/**
 * Bytes of a row of scores in the scratch: two sums for each position of a page. Queries follow
 * four of them.
 */
export const SCORES: usize = 512;

/** Bytes of a row's partial result: D values, maximum, sum, two words of padding. */
@inline
export function partialBytes(D: i32): usize {
  return (<usize>D + 4) << 2;
}

/** Rows of a tile, from a type that stands for their number: u8, u16, u32, u64 for 1, 2, 3, 4. */
@inline
export function rowsOf<R>(): i32 {
  return sizeof<R>() == 8 ? 4 : sizeof<R>() == 4 ? 3 : <i32>sizeof<R>();
}

/**
 * Scores are made for whole fours of positions, from a multiple of four on. Which lanes of the four
 * at `position` are among those from..to-1.
 */
@inline
export function lanesWithin(position: i32, from: i32, to: i32): v128 {
  const lane = i32x4.add(i32x4(0, 1, 2, 3), i32x4.splat(position));
  return v128.and(i32x4.ge_s(lane, i32x4.splat(from)), i32x4.lt_s(lane, i32x4.splat(to)));
}
