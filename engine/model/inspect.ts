/** What `mdi inspect` says of a model: read from its files, without cutting it. */
import { type BlockLayout, planBlock } from "./block_writer.ts";
import type { ModelConfig, ModelSource } from "./types.ts";

/** One block of a model that was inspected. */
export interface InspectedBlock {
  name: string;
  /** Bytes of its file in a store. */
  bytes: number;
  parameters: number;
  dtypes: string[];
}

/** What a model is. */
export interface ModelDescription {
  name: string;
  source: ModelSource["kind"];
  license: string | null;
  config: ModelConfig;
  parameters: number;
  /** Names of all weight formats in it. */
  dtypes: string[];
  /** Bytes of all blocks. */
  bytes: number;
  kvBytesPerToken: number;
  blocks: InspectedBlock[];
}

/** Describes a model; weights are not read. */
export async function describeModel(source: ModelSource): Promise<ModelDescription> {
  const blocks: InspectedBlock[] = [];
  const layouts = new Map<string, BlockLayout>();
  for await (const recipe of source.blocks()) {
    const { bytes, layout } = planBlock(recipe, layouts);
    layouts.set(recipe.name, layout);
    blocks.push({ name: recipe.name, bytes, parameters: recipe.parameters, dtypes: recipe.dtypes });
  }
  const sum = (key: "bytes" | "parameters") =>
    blocks.reduce((total, block) => total + block[key], 0);
  return {
    name: source.name,
    source: source.kind,
    license: source.license,
    config: source.config,
    parameters: sum("parameters"),
    dtypes: [...new Set(blocks.flatMap((block) => block.dtypes))],
    bytes: sum("bytes"),
    kvBytesPerToken: source.kvBytesPerTokenLayer * source.config.layers,
    blocks,
  };
}
