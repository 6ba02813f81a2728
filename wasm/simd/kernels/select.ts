/** The greatest of many logits, so that the logits themselves need not leave the module. */
import { hmax } from "./math";

/** Values that argMax takes at a time. */
const CHUNK: i32 = 1024;

/** Index of the greatest of n f32, the lowest of several; -1 where there is a NaN or nothing. */
export function argMax(p: usize, n: i32): i32 {
  let best: f32 = -Infinity, at = 0;
  for (let from = 0; from < n; from += CHUNK) {
    const m = greatest(p + (<usize>from << 2), min(CHUNK, n - from));
    if (m != m) return -1;
    if (m > best) {
      best = m;
      at = from;
    }
  }
  for (; at < n; at++) if (load<f32>(p + (<usize>at << 2)) == best) return at;
  return -1;
}

/** The greatest of n f32, NaN where there is one. */
function greatest(p: usize, n: i32): f32 {
  const end = p + (<usize>n << 2), whole = p + (<usize>(n & ~3) << 2);
  let m = f32x4.splat(-Infinity), nan = f32x4.splat(0);
  for (; p < whole; p += 16) {
    const v = v128.load(p);
    m = f32x4.pmax(m, v);
    nan = v128.or(nan, f32x4.ne(v, v));
  }
  let best = v128.any_true(nan) ? <f32>NaN : hmax(m);
  for (; p < end; p += 4) best = max(best, load<f32>(p));
  return best;
}

/**
 * The k greatest of n f32, greatest first, of equals the lower index first. Returns how many (k, or
 * n where that is less), 0 where there is a NaN. outIds: i32[k]; outValues: f32[k]; scratch: 8·k
 * bytes.
 *
 * A heap of the k greatest so far, the least of them at the root: nearly all of n fall to one
 * comparison.
 */
export function topK(
  p: usize,
  n: i32,
  k: i32,
  outIds: usize,
  outValues: usize,
  scratch: usize,
): i32 {
  if (k > n) k = n;
  if (k <= 0) return 0;
  for (let i = 0; i < k; i++) store<u64>(scratch + (<usize>i << 3), keyOf(p, i));
  for (let i = (k >> 1) - 1; i >= 0; i--) {
    sink(scratch, i, k, load<u64>(scratch + (<usize>i << 3)));
  }

  let nan = f32x4.splat(0), i = 0;
  for (; i < k; i++) {
    const x = load<f32>(p + (<usize>i << 2));
    if (x != x) return 0;
  }
  let bound = f32x4.splat(valueOf(p, load<u64>(scratch)));
  for (; i + 4 <= n; i += 4) {
    const v = v128.load(p + (<usize>i << 2));
    nan = v128.or(nan, f32x4.ne(v, v));
    if (!v128.any_true(f32x4.gt(v, bound))) continue;
    for (let j = i; j < i + 4; j++) offer(p, j, k, scratch);
    bound = f32x4.splat(valueOf(p, load<u64>(scratch)));
  }
  if (v128.any_true(nan)) return 0;
  for (; i < n; i++) {
    const x = load<f32>(p + (<usize>i << 2));
    if (x != x) return 0;
    offer(p, i, k, scratch);
  }

  for (let last = k - 1; last >= 0; last--) {
    const key = load<u64>(scratch);
    sink(scratch, 0, last, load<u64>(scratch + (<usize>last << 3)));
    const id = indexOf(key), o = <usize>last << 2;
    store<i32>(outIds + o, id);
    store<f32>(outValues + o, load<f32>(p + (<usize>id << 2)));
  }
  return k;
}

/** A value and its index as one number that orders as topK() does: of equals the lower index. */
@inline
function keyOf(p: usize, i: i32): u64 {
  const bits = reinterpret<i32>(load<f32>(p + (<usize>i << 2)) + <f32>0.0); // -0 becomes 0
  const ordered = <u32>(bits ^ ((bits >> 31) | 0x80000000));
  return (<u64>ordered << 32) | <u64>~(<u32>i);
}

@inline
function indexOf(key: u64): i32 {
  return <i32>~(<u32>key);
}

@inline
function valueOf(p: usize, key: u64): f32 {
  return load<f32>(p + (<usize>indexOf(key) << 2));
}

@inline
function offer(p: usize, i: i32, k: i32, heap: usize): void {
  const key = keyOf(p, i);
  if (key > load<u64>(heap)) sink(heap, 0, k, key);
}

/** Puts `key` into the hole at i of a heap of n, where no parent is above its children. */
function sink(heap: usize, i: i32, n: i32, key: u64): void {
  for (;;) {
    let child = 2 * i + 1;
    if (child >= n) break;
    let least = load<u64>(heap + (<usize>child << 3));
    if (child + 1 < n) {
      const right = load<u64>(heap + (<usize>(child + 1) << 3));
      if (right < least) {
        least = right;
        child++;
      }
    }
    if (least >= key) break;
    store<u64>(heap + (<usize>i << 3), least);
    i = child;
  }
  store<u64>(heap + (<usize>i << 3), key);
}
