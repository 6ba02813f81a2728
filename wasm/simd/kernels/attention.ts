/**
 * Attention over one page of a KV cache at a time, and the merging of pages (as FlashAttention does
 * it; Dao et al.). A page's partial result depends on that page and the query alone, so the bits
 * are the same whether one thread takes all pages in sequence or several take some each.
 */
import { KV_F16, KV_F32 } from "../abi";
import { attendFloatTile } from "./attention_float";
import { attendInt8Tile } from "./attention_int8";
import { partialBytes } from "./attention_rows";
import { exp } from "./math";

/**
 * Attends positions first..first+count-1 (count > 0) of one kv head's chunk of a page.
 *
 * q: r rows of D f32 (D % 8 == 0, D <= 2048), rotated and scaled. out: for each row D f32 Σ p·v,
 * then f32 m, the greatest score, f32 s = Σ p with p = e^(score - m), and two words that are left
 * as they are. scratch: 2048 + 16·D bytes. Up to four rows are taken at a time, each with the same
 * bits as alone.
 */
export function attendPage(
  kvType: i32,
  q: usize,
  r: i32,
  D: i32,
  chunk: usize,
  first: i32,
  count: i32,
  scratch: usize,
  out: usize,
): void {
  if (kvType == KV_F32) attendRows<f32>(q, r, D, chunk, first, count, scratch, out);
  else if (kvType == KV_F16) attendRows<u16>(q, r, D, chunk, first, count, scratch, out);
  else attendRows<i8>(q, r, D, chunk, first, count, scratch, out);
}

/** T: f32, u16 for f16, or i8. */
function attendRows<T>(
  q: usize,
  r: i32,
  D: i32,
  chunk: usize,
  first: i32,
  count: i32,
  scratch: usize,
  out: usize,
): void {
  for (; r >= 4; r -= 4) {
    attendTile<T, u64>(q, D, chunk, first, count, scratch, out);
    q += <usize>D << 4;
    out += 4 * partialBytes(D);
  }
  if (r == 3) attendTile<T, u32>(q, D, chunk, first, count, scratch, out);
  else if (r == 2) attendTile<T, u16>(q, D, chunk, first, count, scratch, out);
  else if (r == 1) attendTile<T, u8>(q, D, chunk, first, count, scratch, out);
}

@inline
function attendTile<T, R>(
  q: usize,
  D: i32,
  chunk: usize,
  first: i32,
  count: i32,
  scratch: usize,
  out: usize,
): void {
  if (sizeof<T>() == 1) attendInt8Tile<R>(q, D, chunk, first, count, scratch, out);
  else attendFloatTile<T, R>(q, D, chunk, first, count, scratch, out);
}

/**
 * Adds a partial result to a state of the same form (which begins with m = -Infinity and zeros), r
 * rows each: n = max(M, m), S = S·e^(M-n) + s·e^(m-n), O likewise.
 */
export function mergePage(state: usize, partial: usize, r: i32, D: i32): void {
  const bytes = <usize>D << 2;
  for (let i = 0; i < r; i++, state += partialBytes(D), partial += partialBytes(D)) {
    const M = load<f32>(state + bytes), m = load<f32>(partial + bytes), n = max(M, m);
    const a = exp(f32x4.splat(M - n)), b = exp(f32x4.splat(m - n));
    for (let d: usize = 0; d < bytes; d += 16) {
      const before = f32x4.mul(v128.load(state + d), a);
      v128.store(state + d, f32x4.add(before, f32x4.mul(v128.load(partial + d), b)));
    }
    const S = load<f32>(state + bytes, 4), s = load<f32>(partial + bytes, 4);
    store<f32>(state + bytes, n);
    store<f32>(state + bytes, S * f32x4.extract_lane(a, 0) + s * f32x4.extract_lane(b, 0), 4);
  }
}

/** out = O / S: r rows of D f32. */
export function finishHeads(state: usize, r: i32, D: i32, out: usize): void {
  const bytes = <usize>D << 2;
  for (let i = 0; i < r; i++, state += partialBytes(D)) {
    const s = f32x4.splat(load<f32>(state + bytes, 4));
    for (let d: usize = 0; d < bytes; d += 16, out += 16) {
      v128.store(out, f32x4.div(v128.load(state + d), s));
    }
  }
}
