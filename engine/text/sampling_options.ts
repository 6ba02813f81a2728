/** What the sampler can be told, checked, and where the values come from that nobody gave. */
import type { SamplingDefaults } from "../model/types.ts";
import { randomSeed } from "./random.ts";

/** How the next token is chosen; every value decided. */
export interface SamplingOptions {
  /** Take the most probable token; then only {@linkcode repetitionPenalty} matters beside. */
  greedy: boolean;
  /** Logits are divided by it; above 0 unless `greedy`. */
  temperature: number;
  /** Keep this many of the largest logits, and what equals the last of them; 0 keeps all. */
  topK: number;
  /** Keep the smallest set of the most probable tokens with at least this mass; 1 keeps all. */
  topP: number;
  /** Keep tokens at least this many times as probable as the most probable one; 0 keeps all. */
  minP: number;
  /** Logits of tokens in the history are divided by it (negative ones multiplied); 1 does nothing. */
  repetitionPenalty: number;
  /** The seed, 64 bits. */
  seed: bigint;
  /** Which of the seed's streams to draw from: the sample's number. */
  stream: number;
}

/** What a person or a program asks for; what is left out comes from the model or from mdi. */
export interface SamplingRequest {
  /** Take the most probable token. @default false */
  greedy?: boolean;
  /** As in {@linkcode SamplingOptions}; 0 is greedy. */
  temperature?: number;
  /** As in {@linkcode SamplingOptions}. */
  topK?: number;
  /** As in {@linkcode SamplingOptions}. */
  topP?: number;
  /** As in {@linkcode SamplingOptions}. */
  minP?: number;
  /** As in {@linkcode SamplingOptions}. */
  repetitionPenalty?: number;
  /** The seed. @default a random one */
  seed?: bigint | number;
  /** Which of the seed's streams to draw from. @default 0 */
  stream?: number;
}

/** What holds where neither the request nor the model's generation config says anything. */
const FALLBACK = { temperature: 0.7, topK: 0, topP: 0.95, minP: 0, repetitionPenalty: 1 };
/** What a generation config means by leaving a value out once it gives another one. */
const NEUTRAL = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

/**
 * Decides every sampling value: the request's, else the model's generation config, else temperature
 * 0.7 and top-p 0.95. Temperature 0 is greedy; so is a model that asks for greedy decoding, unless the
 * request names a temperature or a limit of its own.
 * @throws {RangeError} for a value out of range, named with the value.
 */
export function resolveSampling(
  request: SamplingRequest,
  defaults: SamplingDefaults,
): SamplingOptions {
  const wished = [request.temperature, request.topK, request.topP, request.minP];
  const given = [defaults.temperature, defaults.topK, defaults.topP, defaults.minP];
  const base = given.some((value) => value !== undefined) ? NEUTRAL : FALLBACK;
  const temperature = request.temperature ?? defaults.temperature ?? base.temperature;
  const modelIsGreedy = defaults.doSample === false && wished.every((v) => v === undefined);
  const options: SamplingOptions = {
    greedy: request.greedy ?? (temperature === 0 || modelIsGreedy),
    temperature,
    topK: request.topK ?? defaults.topK ?? base.topK,
    topP: request.topP ?? defaults.topP ?? base.topP,
    minP: request.minP ?? defaults.minP ?? base.minP,
    repetitionPenalty: request.repetitionPenalty ?? defaults.repetitionPenalty ??
      base.repetitionPenalty,
    seed: seedOf(request.seed),
    stream: request.stream ?? 0,
  };
  if (temperature === 0) options.greedy = true;
  checkSampling(options);
  return options;
}

/**
 * Checks the range of every value.
 * @throws {RangeError} for the first one out of range, named with the value.
 */
export function checkSampling(options: SamplingOptions): void {
  const { temperature, topK, topP, minP, repetitionPenalty, seed, stream } = options;
  check("temperature", temperature, temperature >= 0 && temperature < Infinity, "0 or more");
  if (temperature === 0 && !options.greedy) {
    throw new RangeError(
      "Cannot sample with temperature 0: it means greedy decoding; ask for that",
    );
  }
  check("top-k", topK, Number.isSafeInteger(topK) && topK >= 0, "a whole number, 0 for all");
  check("top-p", topP, topP >= 0 && topP <= 1, "0 to 1");
  check("min-p", minP, minP >= 0 && minP <= 1, "0 to 1");
  check(
    "repetition penalty",
    repetitionPenalty,
    repetitionPenalty > 0 && repetitionPenalty < Infinity,
    "above 0",
  );
  check("seed", seed, seed >= 0n && seed < 2n ** 64n, "a whole number below 2^64");
  check("stream", stream, Number.isSafeInteger(stream) && stream >= 0, "a whole number");
}

function check(name: string, value: number | bigint, valid: boolean, range: string): void {
  if (!valid) throw new RangeError(`Cannot sample with ${name} ${value}: it must be ${range}`);
}

/** A seed as 64 bits; a fraction has no meaning as one. */
function seedOf(seed: bigint | number | undefined): bigint {
  if (seed === undefined) return randomSeed();
  if (typeof seed === "bigint") return seed;
  check("seed", seed, Number.isSafeInteger(seed) && seed >= 0, "a whole number below 2^64");
  return BigInt(seed);
}
