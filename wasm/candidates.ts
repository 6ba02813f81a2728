/** The largest logits of rows: what leaves the compute thread where a sampler needs no more of them. */

/** Candidates of a row at most; a stage keeps room for them. */
export const MAX_CANDIDATES = 1024;

/**
 * The largest logits of some rows, by falling logit, and of equal ones by rising id. In a row that has a
 * NaN nothing is the largest: all candidates of that row are its first NaN.
 */
export interface Candidates {
  /** How many a row has: what was asked for, or the vocabulary where it is smaller. */
  readonly count: number;
  /** Token ids [rows, count]. */
  readonly ids: Int32Array;
  /** Their logits [rows, count]. */
  readonly logits: Float32Array;
}

/**
 * Room for the candidates of rows.
 * @throws {RangeError} where `count` is not 1 to {@linkcode MAX_CANDIDATES}.
 */
export function makeCandidates(rows: number, vocab: number, count: number): Candidates {
  if (!Number.isInteger(count) || count < 1 || count > MAX_CANDIDATES) {
    throw new RangeError(
      `Cannot take ${count} candidates of a row: it must be 1 to ${MAX_CANDIDATES}`,
    );
  }
  const each = Math.min(count, vocab);
  return {
    count: each,
    ids: new Int32Array(rows * each),
    logits: new Float32Array(rows * each),
  };
}

/** The candidates of one row, in the same memory. */
export function candidatesOfRow({ count, ids, logits }: Candidates, row: number): Candidates {
  const [from, to] = [row * count, (row + 1) * count];
  return { count, ids: ids.subarray(from, to), logits: logits.subarray(from, to) };
}

/**
 * Takes the candidates from logits [rows, vocab].
 * @throws {RangeError} where `count` is not 1 to {@linkcode MAX_CANDIDATES}.
 */
export function takeCandidates(logits: Float32Array, vocab: number, count: number): Candidates {
  const rows = logits.length / vocab;
  const candidates = makeCandidates(rows, vocab, count);
  for (let row = 0; row < rows; row++) {
    const whole = logits.subarray(row * vocab, (row + 1) * vocab);
    const taken = candidatesOfRow(candidates, row);
    if (!insertLargest(whole, taken)) markNaN(whole, taken);
  }
  return candidates;
}

/** Makes the first NaN of a row its only candidate. */
export function markNaN(logits: Float32Array, { ids, logits: values }: Candidates): void {
  ids.fill(logits.findIndex(Number.isNaN));
  values.fill(NaN);
}

/**
 * Insertion into what is held so far: of a large vocabulary nearly every logit fails the first comparison.
 * @returns false where it met a NaN.
 */
function insertLargest(logits: Float32Array, { count, ids, logits: values }: Candidates): boolean {
  let held = 0;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (logit !== logit) return false;
    if (held === count && logit <= values[count - 1]!) continue;
    const place = placeOf(logit, values, held);
    if (held < count) held++;
    ids.copyWithin(place + 1, place, held - 1);
    values.copyWithin(place + 1, place, held - 1);
    ids[place] = id;
    values[place] = logit;
  }
  return true;
}

/** The first place of falling values[0..held) that is below a logit: behind its equals. */
function placeOf(logit: number, values: Float32Array, held: number): number {
  let low = 0;
  let high = held;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! < logit) high = middle;
    else low = middle + 1;
  }
  return low;
}
