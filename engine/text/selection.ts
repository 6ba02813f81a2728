/** Selection without sorting: which of the largest keys together reach a goal. */

/**
 * Reorders `ids[0..count)` so that the answer is a prefix: the fewest ids, taken by falling key and
 * among equal keys by rising id, whose measure adds up to at least `goal`. It is quickselect
 * (Hoare, 1961) with a weighted count: linear in `count` on average, nothing is allocated, and the
 * result depends on its arguments alone.
 *
 * @param keys by id; no NaN.
 * @param measure by id, not negative; null counts every id as 1.
 * @param goal above 0.
 * @returns the length of the prefix, at least 1; `count` where even all do not reach the goal.
 */
export function selectLargest(
  ids: Uint32Array,
  count: number,
  keys: Float32Array,
  measure: Float64Array | null,
  goal: number,
): number {
  let low = 0;
  let high = count;
  let reached = 0;
  while (high - low > 1) {
    const middle = partition(ids, low, high, keys);
    let above = reached;
    if (measure === null) above += middle - low;
    else for (let i = low; i < middle; i++) above += measure[ids[i]!]!;
    if (above >= goal) {
      high = middle;
      continue;
    }
    above += measure === null ? 1 : measure[ids[middle]!]!;
    if (above >= goal) return middle + 1;
    reached = above;
    low = middle + 1;
  }
  return Math.max(high, Math.min(1, count));
}

/** Moves what comes before a pivot to its left and returns the pivot's place. */
function partition(ids: Uint32Array, low: number, high: number, keys: Float32Array): number {
  const last = high - 1;
  const pivotAt = medianOfThree(ids, low, (low + high) >>> 1, last, keys);
  const pivot = ids[pivotAt]!;
  const key = keys[pivot]!;
  ids[pivotAt] = ids[last]!;
  let place = low;
  for (let i = low; i < last; i++) {
    const id = ids[i]!;
    const other = keys[id]!;
    if (other > key || (other === key && id < pivot)) {
      ids[i] = ids[place]!;
      ids[place++] = id;
    }
  }
  ids[last] = ids[place]!;
  ids[place] = pivot;
  return place;
}

function medianOfThree(
  ids: Uint32Array,
  a: number,
  b: number,
  c: number,
  keys: Float32Array,
): number {
  const ab = isBefore(ids[a]!, ids[b]!, keys);
  const bc = isBefore(ids[b]!, ids[c]!, keys);
  if (ab === bc) return b;
  return ab === isBefore(ids[a]!, ids[c]!, keys) ? c : a;
}

function isBefore(a: number, b: number, keys: Float32Array): boolean {
  return keys[a]! > keys[b]! || (keys[a] === keys[b] && a < b);
}
