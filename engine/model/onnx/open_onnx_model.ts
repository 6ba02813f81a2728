/** Opens an ONNX export as a source of blocks. */
import { join } from "node:path";
import { TensorProto_DataType as DataType } from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";
import { fileInfo, rangeData } from "../emit/file_range.ts";
import type { ModelSource } from "../types.ts";
import { blockRecipes } from "./block_recipes.ts";
import { readJsonFile } from "../hf/json_file.ts";
import { type JsonObject, objectAt } from "../hf/json_value.ts";
import { readmeLicense } from "../hf/readme_license.ts";
import { modelConfig } from "./model_config.ts";
import { findModelFiles, type ModelFiles, type OnnxDtype } from "./model_files.ts";
import { readOnnxFile } from "./read_onnx_file.ts";
import { sliceGraph } from "./slice_graph.ts";
import { addsToken, readTextAssets, samplingDefaults } from "../hf/text_assets.ts";
import { graphDtype } from "./graph_dtype.ts";

/** Options of {@linkcode openOnnxModel}. */
export interface OpenOnnxOptions {
  /**
   * Which file of an export to read.
   * @default {the first there of fp32, q8, q4, fp16, q4f16}
   */
  dtype?: OnnxDtype;
  /** Directory of the tokenizer's files, where they are neither with the model nor one level above. */
  tokenizerDir?: string;
  /** Ends the reading. */
  signal?: AbortSignal;
}

/**
 * Opens an ONNX export: a directory in transformers.js's or the builder's layout, or a single file.
 * Nothing but the graph is read; weights are read by range as the blocks are written.
 * @throws {MdiError} model_missing, model_corrupt or model_unsupported, naming what was met.
 */
export async function openOnnxModel(
  path: string,
  options: OpenOnnxOptions = {},
): Promise<ModelSource> {
  const files = await findModelFiles(path, options.dtype);
  const { model, ranges, externalFiles } = await readOnnxFile(files.onnx, options.signal);
  const sliced = sliceGraph(model);
  if (options.dtype && files.dtype === null) {
    const actual = graphDtype(sliced.graph);
    if (actual !== options.dtype) {
      throw new MdiError(
        "model_missing",
        `Cannot open ${path} as ${options.dtype}: its only file is ${actual}; leave --dtype out or give ${actual}`,
        { details: { path, dtypes: actual } },
      );
    }
  }
  const configs = await readConfigs(files);
  const { io, hidden } = sliced;
  const config = modelConfig(configs, { ...io, layers: io.caches.length, hidden });
  const text = await readTextAssets(
    options.tokenizerDir ? [options.tokenizerDir] : files.directories,
    samplingDefaults(configs.generation ?? objectAt(configs.genai, "search")),
  );
  if (config.bosToken !== null && !addsToken(text, config.bosToken)) config.bosToken = null;
  const data = new Map(
    [...ranges].map(([name, range]) => [name, rangeData(range.path, range.offset, range.length)]),
  );
  return {
    kind: "onnx",
    name: files.name,
    license: await readmeLicense(files.directories),
    config,
    text,
    kvBytesPerTokenLayer: 2 * config.kvHeads * config.headDim *
      (io.cacheType === DataType.FLOAT16 ? 2 : 4),
    edges: sliced.edges,
    files: [await fileInfo(files.onnx), ...externalFiles],
    async *blocks() {
      yield* blockRecipes({ model, sliced, sizes: config, data });
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Each config from the nearest directory that has it; a builder's own goes before one from above. */
async function readConfigs({ directories }: ModelFiles): Promise<{
  config: JsonObject | undefined;
  generation: JsonObject | undefined;
  genai: JsonObject | undefined;
}> {
  const found: Record<string, JsonObject | undefined> = {};
  for (const directory of directories) {
    for (const name of ["config", "generation_config", "genai_config"]) {
      found[name] ??= await readJsonFile(join(directory, `${name}.json`));
    }
  }
  return {
    config: found["config"],
    generation: found["generation_config"],
    genai: found["genai_config"],
  };
}
