/**
 * Chooses the next token from the logits. The order is that of Hugging Face transformers: repetition
 * penalty, temperature, top-k, top-p, min-p, then one draw from what is left.
 *
 * The same logits, options and history give the same token on every machine: the random numbers are
 * integers (random.ts), sums run in a fixed order, and the one transcendental function, Math.exp, is
 * in V8 the same portable fdlibm code on every architecture.
 *
 * Time is linear in the vocabulary and scratch space is made once, with the first logits. Greedy and
 * top-k sampling choose from a few of the largest logits; those alone give the same token, bit for bit:
 * what is cut off weighs nothing, and sums run over the rest in the same order, that of the ids.
 */
import { type Candidates, MAX_CANDIDATES } from "../../wasm/candidates.ts";
import { MdiError } from "../../wasm/error.ts";
import { randomStream, type SplitMix64 } from "./random.ts";
import { checkSampling, type SamplingOptions } from "./sampling_options.ts";
import { selectLargest } from "./selection.ts";

/** Draws the tokens of one sample. */
export interface Sampler {
  /** How many of the largest logits it has to see; null where it has to see all. */
  readonly candidates: number | null;
  /**
   * Chooses the next token.
   * @param logits one row, [vocab]; it is not changed.
   * @param history the ids so far, prompt and generated, for the repetition penalty.
   * @throws {MdiError} internal where a logit is NaN or none is finite.
   */
  sample(logits: Float32Array, history: readonly number[] | Int32Array): number;
  /**
   * Whether a row's largest logits, at least as many as it has to see, decide what it chooses from.
   * They do not where the k-th of them has equals, which all stay, and some of these may be missing.
   */
  isDecidedBy(row: Candidates): boolean;
  /**
   * Chooses the next token from a row's largest logits that decide it: the very token that
   * {@linkcode sample} chooses from the whole row.
   * @throws {MdiError} internal where a logit is NaN or none is finite.
   */
  sampleCandidates(row: Candidates): number;
}

/**
 * Makes the sampler of one sample.
 * @throws {RangeError} for an option out of range.
 */
export function createSampler(options: SamplingOptions): Sampler {
  checkSampling(options);
  return options.greedy && options.repetitionPenalty === 1 ? GREEDY : new WarpingSampler(options);
}

const GREEDY: Sampler = {
  candidates: 1,
  sample: argmax,
  isDecidedBy: () => true,
  sampleCandidates: first,
};

/** Tokens that are not cut off: the sum of their weights, and their number. */
interface Mass {
  total: number;
  tokens: number;
}

/**
 * Samples from scores: of all tokens, which then are known by their ids, or of a few, which are known
 * by their places in the order of their ids.
 */
class WarpingSampler implements Sampler {
  readonly candidates: number | null;
  readonly #options: SamplingOptions;
  readonly #random: SplitMix64;
  /** Logits with the penalty applied. */
  #scores = new Float32Array(0);
  /** Unnormalised probabilities: exp((score - largest) / temperature), 0 for what is cut off. */
  #weights = new Float64Array(0);
  /** What a selection is made from. */
  #ids = new Uint32Array(0);

  constructor(options: SamplingOptions) {
    const { greedy, topK, repetitionPenalty, seed, stream } = options;
    this.#options = options;
    this.#random = randomStream(seed, stream);
    const few = !greedy && repetitionPenalty === 1 && topK > 0 && topK < MAX_CANDIDATES;
    this.candidates = few ? topK + 1 : null;
  }

  sample(logits: Float32Array, history: readonly number[] | Int32Array): number {
    this.#resize(logits.length);
    const { greedy, topK, repetitionPenalty } = this.#options;
    const scores = this.#scores;
    scores.set(logits);
    if (repetitionPenalty !== 1) penalise(scores, logits, history, repetitionPenalty);
    const best = argmax(scores);
    if (greedy) return best;
    return this.#choose(
      best,
      topK > 0 && topK < logits.length ? this.#kthLargest(topK) : -Infinity,
    );
  }

  isDecidedBy({ count, logits }: Candidates): boolean {
    const { topK } = this.#options;
    return count <= topK || logits[topK - 1] !== logits[topK];
  }

  sampleCandidates(row: Candidates): number {
    first(row);
    const { count, ids, logits } = row;
    const kept = Math.min(this.#options.topK, count);
    const order = Uint32Array.from({ length: kept }, (_, rank) => rank)
      .sort((a, b) => ids[a]! - ids[b]!);
    this.#resize(kept);
    order.forEach((rank, place) => this.#scores[place] = logits[rank]!);
    return ids[order[this.#choose(argmax(this.#scores), -Infinity)]!]!;
  }

  /** Chooses from the scores that are not below a threshold. */
  #choose(best: number, threshold: number): number {
    const { temperature, topP, minP } = this.#options;
    const mass = this.#exponentiate(this.#scores[best]!, temperature, threshold);
    if (topP < 1) this.#cutTail(mass, topP);
    return this.#draw(best, minP);
  }

  #resize(count: number): void {
    if (this.#scores.length === count) return;
    this.#scores = new Float32Array(count);
    this.#weights = new Float64Array(count);
    this.#ids = new Uint32Array(count);
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

  /** Fills the weights and returns what they come to. */
  #exponentiate(largest: number, temperature: number, threshold: number): Mass {
    const scores = this.#scores;
    const weights = this.#weights;
    let total = 0;
    let tokens = 0;
    for (let id = 0; id < scores.length; id++) {
      const score = scores[id]!;
      if (score >= threshold) {
        const weight = Math.exp((score - largest) / temperature);
        weights[id] = weight;
        total += weight;
        tokens++;
      } else {
        weights[id] = 0;
      }
    }
    return { total, tokens };
  }

  /** Top-p: zeroes all but the fewest most probable tokens that hold `topP` of the total. */
  #cutTail({ total, tokens }: Mass, topP: number): void {
    const scores = this.#scores;
    const weights = this.#weights;
    const ids = this.#ids;
    const count = weights.length;
    // Tokens below this weight hold less than 1 - topP even if all of them do, so none is kept; it
    // leaves few to select from (as in llama2.c's sample_topp).
    const floor = (1 - topP) * total / tokens;
    let heavy = 0;
    for (let id = 0; id < count; id++) {
      if (weights[id]! >= floor && weights[id]! > 0) ids[heavy++] = id;
    }
    const kept = selectLargest(
      ids,
      heavy,
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
    for (let id = 0; id < count; id++) {
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

/** The first of a row's largest logits, checked. */
function first({ ids, logits }: Candidates): number {
  const id = ids[0]!;
  if (!Number.isFinite(logits[0])) throw badLogits(id, logits[0]!);
  return id;
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
      throw badLogits(id, logit);
    }
  }
  if (!Number.isFinite(largest)) throw badLogits(best, largest);
  return best;
}

/** @param logit of the id: NaN, or the largest and not finite. */
function badLogits(id: number, logit: number): MdiError {
  const why = Number.isNaN(logit) ? `logit ${id} is NaN` : `the largest logit is ${logit}`;
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
