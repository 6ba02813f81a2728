/** Reads tokenizer, chat template and sampling defaults as Hugging Face repositories keep them. */
import { join } from "node:path";
import { MdiError } from "../../../wasm/error.ts";
import type { SamplingDefaults, TextAssets } from "../types.ts";
import { readJsonFile, readTextFile } from "./json_file.ts";
import { type JsonObject, numberAt, objectAt, valueAt } from "./json_value.ts";

/** Largest chat template. */
const MAX_TEMPLATE_BYTES = 2 ** 20;

/**
 * Reads the text assets from the first of the directories that has a tokenizer.json.
 * @throws {MdiError} model_missing where none has.
 */
export async function readTextAssets(
  directories: readonly string[],
  sampling: SamplingDefaults,
): Promise<TextAssets> {
  for (const directory of directories) {
    const tokenizer = await readJsonFile(join(directory, "tokenizer.json"));
    if (!tokenizer) continue;
    const tokenizerConfig = await readJsonFile(join(directory, "tokenizer_config.json")) ?? {};
    if (valueAt(tokenizerConfig, "chat_template") === undefined) {
      const template = await readTextFile(
        join(directory, "chat_template.jinja"),
        MAX_TEMPLATE_BYTES,
      );
      if (template !== undefined) tokenizerConfig["chat_template"] = template;
    }
    return { tokenizer, tokenizerConfig, sampling };
  }
  throw new MdiError(
    "model_missing",
    `Cannot open ${
      directories[0]
    }: it has no tokenizer.json; say where one is with --tokenizer DIR`,
    { details: { path: directories[0] ?? "" } },
  );
}

/** Sampling defaults of a generation config, or of a genai config's "search". */
export function samplingDefaults(config: JsonObject | undefined): SamplingDefaults {
  const sampling: SamplingDefaults = {};
  const within = (key: string, low: number, high: number) => {
    const value = numberAt(config, key);
    return value !== undefined && value >= low && value <= high ? value : undefined;
  };
  const temperature = within("temperature", 0, 100);
  const topK = within("top_k", 0, 2 ** 31);
  const topP = within("top_p", 0, 1);
  const minP = within("min_p", 0, 1);
  const repetitionPenalty = within("repetition_penalty", Number.MIN_VALUE, 100);
  const doSample = valueAt(config, "do_sample");
  if (temperature !== undefined) sampling.temperature = temperature;
  if (topK !== undefined) sampling.topK = Math.floor(topK);
  if (topP !== undefined) sampling.topP = topP;
  if (minP !== undefined) sampling.minP = minP;
  if (repetitionPenalty !== undefined) sampling.repetitionPenalty = repetitionPenalty;
  if (typeof doSample === "boolean") sampling.doSample = doSample;
  return sampling;
}

/** Whether a tokenizer puts the given token before a plain text. */
export function addsToken({ tokenizer, tokenizerConfig }: TextAssets, token: number): boolean {
  if (valueAt(tokenizerConfig, "add_bos_token") === true) return true;
  const post = objectAt(tokenizer, "post_processor");
  const nested = valueAt(post, "processors");
  const processors = Array.isArray(nested) ? nested as JsonObject[] : post ? [post] : [];
  return processors.some((processor) => {
    const single = valueAt(processor, "single");
    const first = objectAt(
      Array.isArray(single) ? single[0] as JsonObject : undefined,
      "SpecialToken",
    );
    const id = valueAt(first, "id");
    const special = objectAt(processor, "special_tokens");
    const ids = typeof id === "string" ? valueAt(objectAt(special, id), "ids") : undefined;
    return Array.isArray(ids) && ids.includes(token);
  });
}
