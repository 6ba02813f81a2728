/**
 * A tokenizer.json made ready for @huggingface/tokenizers: its shape is checked, and where that package
 * differs from Hugging Face's Rust tokenizers, or takes very long, the file is rewritten into an equal
 * one for which it does not. The package is version 0.2.0 here.
 */
import { MdiError } from "../../wasm/error.ts";

/** A parsed JSON object. */
export type JsonObject = Record<string, unknown>;

/** A tokenizer.json of which the parts that mdi relies on have the right types. */
export interface TokenizerJson extends JsonObject {
  /** With merges as pairs, in a list of its own. */
  model: JsonObject & { vocab: Record<string, number>; merges: string[][] };
  added_tokens: JsonObject[];
  pre_tokenizer: JsonObject | null;
  normalizer: JsonObject | null;
  post_processor: JsonObject | null;
  decoder: JsonObject | null;
}

/** Ids above this are refused: the largest vocabularies have a quarter of a million. */
const MAX_TOKEN_ID = 2 ** 22;

/** GPT-2's pre-tokenizer, as `ByteLevel` applies it by itself. Source: encoder.py of openai/gpt-2. */
export const GPT2_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * Checks and rewrites a tokenizer.json; the argument is not changed.
 * @throws {MdiError} model_corrupt for a wrong shape, model_unsupported for another kind than BPE.
 */
export function prepareTokenizerJson(json: JsonObject): TokenizerJson {
  const model = json.model;
  if (!isObject(model)) throw corrupt("it has no model");
  // Files of before 2022 leave the type out, but BPE alone has merges.
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : "unnamed");
  if (type !== "BPE") {
    throw new MdiError(
      "model_unsupported",
      `Cannot use the tokenizer: its model is ${JSON.stringify(type)}, and mdi knows BPE`,
    );
  }
  checkVocab(model.vocab);
  checkMerges(model.merges);
  const added = json.added_tokens ?? [];
  if (!Array.isArray(added) || !added.every(isAddedToken)) {
    throw corrupt("added_tokens is not a list of tokens with content and id");
  }
  const ready: TokenizerJson = {
    ...json,
    model: { ...model, type, vocab: model.vocab, merges: model.merges.map(pairOf) },
    added_tokens: added,
    normalizer: objectOrNull(json.normalizer, "normalizer"),
    pre_tokenizer: rewrite(objectOrNull(json.pre_tokenizer, "pre_tokenizer")),
    post_processor: objectOrNull(json.post_processor, "post_processor"),
    decoder: objectOrNull(json.decoder, "decoder"),
  };
  const split = splitsNoWords(ready.pre_tokenizer) ? splitAtSpaces(model.vocab) : null;
  if (split !== null) ready.pre_tokenizer = sequence(ready.pre_tokenizer, split);
  return ready;
}

/** A step that makes every match of a pattern a pre-token of its own. */
export function splitBy(pattern: string): JsonObject {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

/** Replaces the steps that the package does otherwise than the Rust original. */
function rewrite(step: JsonObject | null): JsonObject | null {
  if (step === null) return null;
  switch (step.type) {
    case "Sequence":
      if (!Array.isArray(step.pretokenizers) || !step.pretokenizers.every(isObject)) {
        throw corrupt("a Sequence of pre-tokenizers has no list of them");
      }
      return { ...step, pretokenizers: step.pretokenizers.map(rewrite) };
    case "Digits":
      // The package splits off ASCII digits; the original all that is numeric, "½" and "٣" too.
      return splitBy(step.individual_digits ? "\\p{N}" : "\\p{N}+");
    case "ByteLevel":
      // The package's own pattern has JavaScript's \s, to which U+FEFF belongs and U+0085 does not;
      // in a Split it turns \s into Unicode's White_Space.
      if (step.use_regex === false || step.add_prefix_space) return step;
      return sequence(splitBy(GPT2_PATTERN), { ...step, use_regex: false });
    default:
      return step;
  }
}

/** Whether a whole text reaches the model as one word, as in SentencePiece models. */
function splitsNoWords(step: JsonObject | null): boolean {
  return step === null || step.type === "Metaspace";
}

/**
 * A split before the spaces of SentencePiece-style BPE, which by itself merges a whole text as one
 * word: slow, and no use for the cache of words. It changes nothing as long as no piece has a space
 * after another character, because then no merge crosses the place; null where one has.
 */
function splitAtSpaces(vocab: Record<string, number>): JsonObject | null {
  const crosses = Object.keys(vocab).some((piece) => /[^▁]▁/.test(piece));
  return crosses ? null : splitBy("▁*[^▁]+|▁+");
}

function sequence(first: JsonObject | null, second: JsonObject): JsonObject {
  return { type: "Sequence", pretokenizers: first === null ? [second] : [first, second] };
}

function checkVocab(vocab: unknown): asserts vocab is Record<string, number> {
  if (!isObject(vocab)) throw corrupt("its vocab is not an object");
  for (const piece of Object.keys(vocab)) {
    if (!isTokenId(vocab[piece])) {
      throw corrupt(`token ${JSON.stringify(piece)} has the id ${JSON.stringify(vocab[piece])}`);
    }
  }
}

/** Merges are "left right", or since tokenizers 0.20 [left, right]; all of one form. */
function checkMerges(merges: unknown): asserts merges is (string | string[])[] {
  if (!Array.isArray(merges)) throw corrupt("its merges are not a list");
  const pairs = Array.isArray(merges[0]);
  const bad = merges.findIndex((merge) =>
    pairs
      ? !Array.isArray(merge) || merge.length !== 2 || !merge.every((m) => typeof m === "string")
      : typeof merge !== "string" || !merge.includes(" ", 1)
  );
  if (bad !== -1) throw corrupt(`merge ${bad} is ${JSON.stringify(merges[bad])?.slice(0, 80)}`);
}

function pairOf(merge: string | string[]): string[] {
  return typeof merge === "string" ? merge.split(" ", 2) : merge;
}

function isTokenId(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKEN_ID;
}

function isAddedToken(value: unknown): boolean {
  return isObject(value) && typeof value.content === "string" && value.content !== "" &&
    isTokenId(value.id);
}

function objectOrNull(value: unknown, name: string): JsonObject | null {
  if (value === undefined || value === null) return null;
  if (!isObject(value)) throw corrupt(`its ${name} is not an object`);
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function corrupt(why: string): MdiError {
  return new MdiError("model_corrupt", `Cannot read the tokenizer: ${why}; fetch the model again`);
}
