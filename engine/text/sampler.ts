/**
 * Chooses the next token from the logits. The order is that of Hugging Face transformers: repetition
 * penalty, temperature, top-k, top-p, min-p, then one draw from what is left.
 *
 * The same logits, options and history give the same token on every machine: the random numbers are
 * integers (random.ts), sums run in a fixed order, and the one transcendental function, Math.exp, is
 * in V8 the same portable fdlibm code on every architecture.
 *
 * Time is linear in the vocabulary and scratch space is made once, with the first logits.
 */
import { MdiError } from "../../wasm/error.ts";
import { randomStream, type SplitMix64 } from "./random.ts";
import { checkSampling, type SamplingOptions } from "./sampling_options.ts";
import { selectLargest } from "./selection.ts";

/** Draws the tokens of one sample. */
export interface Sampler {
  /**
   * Chooses the next token.
   * @param logits one row, [vocab]; it is not changed.
   * @param history the ids so far, prompt and generated, for the repetition penalty.
   * @throws {MdiError} internal where a logit is NaN or none is finite.
   */
  sample(logits: Float32Array, history: readonly number[] | Int32Array): number;
}

/**
 * Makes the sampler of one sample.
 * @throws {RangeError} for an option out of range.
 */
export function createSampler(options: SamplingOptions): Sampler {
  checkSampling(options);
  return options.greedy && options.repetitionPenalty === 1
    ? { sample: (logits) => argmax(logits) }
    : new WarpingSampler(options);
}

class WarpingSampler implements Sampler {
  readonly #options: SamplingOptions;
  readonly #random: SplitMix64;
  /** Logits with the penalty applied. */
  #scores = new Float32Array(0);
  /** Unnormalised probabilities: exp((score - largest) / temperature), 0 for what is cut off. */
  #weights = new Float64Array(0);
  /** Candidates of a selection. */
  #ids = new Uint32Array(0);

  constructor(options: SamplingOptions) {
    this.#options = options;
    this.#random = randomStream(options.seed, options.stream);
  }

  sample(logits: Float32Array, history: readonly number[] | Int32Array): number {
    const vocab = logits.length;
    if (this.#scores.length !== vocab) {
      this.#scores = new Float32Array(vocab);
      this.#weights = new Float64Array(vocab);
      this.#ids = new Uint32Array(vocab);
    }
    const { greedy, temperature, topK, topP, minP, repetitionPenalty } = this.#options;
    const scores = this.#scores;
    scores.set(logits);
    if (repetitionPenalty !== 1) penalise(scores, logits, history, repetitionPenalty);
    const best = argmax(scores);
    if (greedy) return best;
    const threshold = topK > 0 && topK < vocab ? this.#kthLargest(topK) : -Infinity;
    const total = this.#exponentiate(scores[best]!, temperature, threshold);
    if (topP < 1) this.#cutTail(total, topP);
    return this.#draw(best, minP);
  }

  /** The k-th largest score. Transformers keeps every score that is not below it, so ties stay. */
  #kthLargest(k: number): number {
    const ids = this.#ids;
    const scores = this.#scores;
    for (let id = 0; id < ids.length; id++) ids[id] = id;
    const count = selectLargest(ids, ids.length, scores, null, k);
    let threshold = Infinity;
    for (let i = 0; i < count; i++) threshold = Math.min(threshold, scores[ids[i]!]!);
    return threshold;
  }

  /** Fills the weights and returns their sum. */
  #exponentiate(largest: number, temperature: number, threshold: number): number {
    const scores = this.#scores;
    const weights = this.#weights;
    let total = 0;
    for (let id = 0; id < scores.length; id++) {
      const score = scores[id]!;
      const weight = score >= threshold ? Math.exp((score - largest) / temperature) : 0;
      weights[id] = weight;
      total += weight;
    }
    return total;
  }

  /** Top-p: zeroes all but the fewest most probable tokens that hold `topP` of the total. */
  #cutTail(total: number, topP: number): void {
    const scores = this.#scores;
    const weights = this.#weights;
    const ids = this.#ids;
    const vocab = weights.length;
    // Tokens below this weight hold less than 1 - topP even if all of them do, so none is kept; it
    // leaves few to select from (as in llama2.c's sample_topp).
    const floor = (1 - topP) * total / vocab;
    let count = 0;
    for (let id = 0; id < vocab; id++) {
      if (weights[id]! >= floor && weights[id]! > 0) ids[count++] = id;
    }
    const kept = selectLargest(
      ids,
      count,
      scores,
      weights,
      Math.max(topP * total, Number.MIN_VALUE),
    );
    // The last one kept, in the order of selection, is the boundary.
    let score = Infinity;
    let last = 0;
    for (let i = 0; i < kept; i++) {
      const id = ids[i]!;
      if (scores[id]! < score || (scores[id] === score && id > last)) {
        score = scores[id]!;
        last = id;
      }
    }
    for (let id = 0; id < vocab; id++) {
      const other = scores[id]!;
      if (other < score || (other === score && id > last)) weights[id] = 0;
    }
  }

  /** Min-p (the largest weight is 1, so it is a bound on weights), then the draw in order of ids. */
  #draw(best: number, minP: number): number {
    const weights = this.#weights;
    let total = 0;
    for (let id = 0; id < weights.length; id++) {
      if (weights[id]! < minP) weights[id] = 0;
      else total += weights[id]!;
    }
    const target = this.#random.nextFloat() * total;
    let sum = 0;
    for (let id = 0; id < weights.length; id++) {
      sum += weights[id]!;
      if (sum > target) return id;
    }
    return best;
  }
}

/** The first of the largest logits; checks them on the way. */
function argmax(logits: Float32Array): number {
  let best = 0;
  let largest = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (logit > largest) {
      largest = logit;
      best = id;
    } else if (logit !== logit) {
      throw badLogits(`logit ${id} is NaN`, id);
    }
  }
  if (!Number.isFinite(largest)) {
    throw badLogits(`the largest of ${logits.length} logits is ${largest}`, best);
  }
  return best;
}

function badLogits(why: string, id: number): MdiError {
  return new MdiError(
    "internal",
    `Cannot choose the next token: ${why}; the model's weights or the compute are broken`,
    { details: { id } },
  );
}

/** Divides positive and multiplies negative logits of the history by the penalty, each id once. */
function penalise(
  scores: Float32Array,
  logits: Float32Array,
  history: readonly number[] | Int32Array,
  penalty: number,
): void {
  for (const id of history) {
    const logit = logits[id];
    if (logit !== undefined) scores[id] = logit < 0 ? logit * penalty : logit / penalty;
  }
}
