/** What a simulated ring is asked to do: samples, their lengths, when they come. */
import { randomStream } from "../text/random.ts";

/** A number of tokens: the same for all samples, or drawn evenly between two, both included. */
export type Length = number | { readonly min: number; readonly max: number };

/** The samples of a run. */
export interface Workload {
  /** How many. */
  readonly samples: number;
  /** Tokens of each prompt. */
  readonly promptTokens: Length;
  /** Tokens drawn for each. */
  readonly tokens: Length;
  /**
   * Samples a second on average, at random moments (a Poisson process).
   *
   * @default {all at once}
   */
  readonly perSecond?: number;
}

/** One sample to come. */
export interface Arrival {
  /** Milliseconds from the run's start. */
  readonly atMs: number;
  readonly promptTokens: number;
  readonly tokens: number;
}

/** Streams of random numbers of a run, one for each use, so that none shifts another. */
const PROMPTS = 1;
const ANSWERS = 2;
const GAPS = 3;
/** First stream of the links: one each. */
export const LINK_STREAMS = 16;

/**
 * The samples in the order they come; the same seed gives the same ones.
 * @throws {RangeError} where a number is out of its range.
 */
export function* arrivals(workload: Workload, seed: bigint): Generator<Arrival> {
  const { samples, promptTokens, tokens, perSecond } = workload;
  if (perSecond !== undefined && !(perSecond > 0 && perSecond < Infinity)) {
    throw new RangeError(`Cannot simulate ${perSecond} samples a second: it must be above 0`);
  }
  const prompts = lengths("prompt tokens", promptTokens, seed, PROMPTS);
  const answers = lengths("tokens", tokens, seed, ANSWERS);
  const gaps = randomStream(seed, GAPS);
  let atMs = 0;
  for (let sample = 0; sample < samples; sample++) {
    if (perSecond !== undefined) atMs -= Math.log(1 - gaps.nextFloat()) * 1000 / perSecond;
    yield { atMs, promptTokens: prompts(), tokens: answers() };
  }
}

/** The most that a length comes to. */
export function longest(length: Length): number {
  return typeof length === "number" ? length : length.max;
}

function lengths(name: string, length: Length, seed: bigint, stream: number): () => number {
  const { min, max } = typeof length === "number" ? { min: length, max: length } : length;
  if (!(Number.isInteger(min) && Number.isInteger(max) && min >= 1 && min <= max)) {
    throw new RangeError(
      `Cannot simulate ${min} to ${max} ${name}: give whole numbers from 1, the smaller one first`,
    );
  }
  if (min === max) return () => min;
  const random = randomStream(seed, stream);
  return () => min + Math.floor(random.nextFloat() * (max - min + 1));
}
