/** A Hugging Face safetensors directory as a model. */
import { basename, join } from "node:path";
import { MdiError } from "../../../wasm/error.ts";
import { checkWeights, decoderBlocks } from "../emit/decoder.ts";
import { fileInfo } from "../emit/file_range.ts";
import { readJsonFile } from "../hf/json_file.ts";
import { addsToken, readTextAssets, samplingDefaults } from "../hf/text_assets.ts";
import { readmeLicense } from "../hf/readme_license.ts";
import type { ModelSource } from "../types.ts";
import { safetensorsConfig } from "./config.ts";
import { readTensorDirectory } from "./tensors.ts";
import { SafetensorsWeights } from "./weights.ts";

/** Options of {@linkcode openSafetensors}. */
export interface OpenSafetensorsOptions {
  /** Directory of the tokenizer's files, where they are not with the model. */
  tokenizerDir?: string;
  /** Ends the reading. */
  signal?: AbortSignal;
}

/**
 * Opens a directory with config.json, tokenizer.json and model.safetensors, or its shards and their
 * index. Nothing stays open between reads.
 * @throws {MdiError} model_missing, model_corrupt, model_unsupported
 */
export async function openSafetensors(
  directory: string,
  options: OpenSafetensorsOptions = {},
): Promise<ModelSource> {
  const configPath = join(directory, "config.json");
  const json = await readJsonFile(configPath);
  if (!json) {
    throw new MdiError("model_missing", `Cannot open ${directory}: it has no config.json`, {
      details: { path: directory },
    });
  }
  const generation = await readJsonFile(join(directory, "generation_config.json"));
  const { config, features } = safetensorsConfig(json, generation, directory);
  const { tensors, files } = await readTensorDirectory(directory, options);
  const weights = new SafetensorsWeights(tensors, config, features);
  await checkWeights(config, weights);
  const text = await readTextAssets(
    [options.tokenizerDir ?? directory],
    samplingDefaults(generation),
  );
  if (config.bosToken !== null && !addsToken(text, config.bosToken)) config.bosToken = null;
  return {
    kind: "safetensors",
    name: basename(await Deno.realPath(directory)),
    license: await readmeLicense([directory]),
    config,
    text,
    kvBytesPerTokenLayer: 2 * 4 * config.kvHeads * config.headDim,
    edges: new Array(config.layers + 1).fill("f32"),
    files: [...files, await fileInfo(configPath)],
    blocks: () => decoderBlocks(config, weights),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
