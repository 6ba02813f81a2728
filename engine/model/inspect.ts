/** What `mdi inspect` says of a model: read from its files, without cutting it. */
import { type BlockLayout, planBlock } from "./block_writer.ts";
import type { ModelConfig, ModelKind, ModelSource } from "./types.ts";

/** One block of a model that was inspected. */
export interface InspectedBlock {
  /** "shared", "embed", "layer.0" …, "head". */
  name: string;
  /** Bytes of its file in a store. */
  bytes: number;
  /** Number of weights in it (elements, not bytes). */
  parameters: number;
  /** Names of the weight formats in it: "Q4_1", "F16", "int4/32" … */
  dtypes: string[];
}

/** What a model is. */
export interface ModelDescription {
  /** A short name for people: that of the directory or file. */
  name: string;
  /** Which kind of file it was read from. */
  source: ModelKind;
  /** SPDX id or name of the licence as the files state it; null where they do not. */
  license: string | null;
  /** The shape of the decoder. */
  config: ModelConfig;
  /** Number of weights in all blocks (elements, not bytes). */
  parameters: number;
  /** Names of all weight formats in it. */
  dtypes: string[];
  /** Bytes of all blocks. */
  bytes: number;
  /** Bytes of KV cache that one token takes over all layers. */
  kvBytesPerToken: number;
  /** In their order: shared (where there is one), embed, the layers, head. */
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
