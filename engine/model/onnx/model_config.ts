/** Makes a model's config from what its files say, checked against what its graph says. */
import { MdiError } from "../../../wasm/error.ts";
import type { ModelConfig } from "../types.ts";
import { countAt, type JsonObject, objectAt, stringAt, tokensAt } from "../hf/json_value.ts";

/** The parsed configs of an export; undefined where it has none. */
export interface ConfigFiles {
  /** config.json */
  config: JsonObject | undefined;
  /** generation_config.json */
  generation: JsonObject | undefined;
  /** genai_config.json */
  genai: JsonObject | undefined;
}

/** What the graph itself says; 0 where it does not. */
export interface GraphFacts {
  /** Pairs of KV inputs. */
  layers: number;
  /** Width of a hidden row. */
  hidden: number;
  /** Key and value heads. */
  kvHeads: number;
  /** Width of a head. */
  headDim: number;
  /** Length of a row of logits. */
  vocab: number;
}

/** Largest sizes that are believed. */
const MAX_SIZE = 2 ** 24;

/**
 * Makes the config: config.json first, then genai_config.json, and the graph above both.
 * `bosToken` is the files' own; whether the tokenizer adds it is the caller's to say.
 * @throws {MdiError} model_missing without a config, model_corrupt where the files contradict the graph.
 */
export function modelConfig(
  { config, generation, genai }: ConfigFiles,
  graph: GraphFacts,
): ModelConfig {
  const model = objectAt(genai, "model");
  const decoder = objectAt(model, "decoder");
  if (!config && !model) {
    throw new MdiError(
      "model_missing",
      "Cannot open the export: it has no config.json and no genai_config.json",
    );
  }
  const heads = countAt(config, "num_attention_heads") ?? countAt(decoder, "num_attention_heads") ??
    0;
  const hidden = agreed("hidden size", graph.hidden, [
    countAt(config, "hidden_size"),
    countAt(decoder, "hidden_size"),
  ]);
  const bos = countAt(config, "bos_token_id") ?? countAt(model, "bos_token_id");
  return {
    architecture: stringAt(config, "model_type") ?? stringAt(model, "type") ?? "unknown",
    layers: agreed("number of layers", graph.layers, [
      countAt(config, "num_hidden_layers"),
      countAt(decoder, "num_hidden_layers"),
    ]),
    hidden,
    heads,
    kvHeads: agreed("number of KV heads", graph.kvHeads, [
      countAt(config, "num_key_value_heads"),
      countAt(decoder, "num_key_value_heads"),
      heads,
    ]),
    headDim: agreed("width of a head", graph.headDim, [
      countAt(config, "head_dim"),
      countAt(decoder, "head_size"),
      heads > 0 ? hidden / heads : undefined,
    ]),
    intermediate: countAt(config, "intermediate_size") ?? 0,
    vocab: agreed("size of the vocabulary", graph.vocab, [
      countAt(config, "vocab_size"),
      countAt(model, "vocab_size"),
    ]),
    context: agreed("context length", 0, [
      countAt(config, "max_position_embeddings"),
      countAt(model, "context_length"),
    ]),
    bosToken: bos ?? null,
    eosTokens: endTokens(generation, model, config),
  };
}

/** The first that names any wins: generation config, genai config, config. */
function endTokens(...files: (JsonObject | undefined)[]): number[] {
  const lists = files.map((file) => tokensAt(file, "eos_token_id"));
  return [...new Set(lists.find((list) => list.length > 0) ?? [])];
}

/** The graph's number, which the first file that has one must not contradict; else that file's. */
function agreed(what: string, graph: number, files: readonly (number | undefined)[]): number {
  const file = files.find((value) => value !== undefined && value > 0);
  if (graph > 0 && file !== undefined && file !== graph) {
    throw new MdiError(
      "model_corrupt",
      `Cannot open the export: its ${what} is ${graph} in the graph and ${file} in the config; they are of two models`,
      { details: { graph, config: file } },
    );
  }
  const value = graph > 0 ? graph : file;
  if (value === undefined || !Number.isInteger(value) || value > MAX_SIZE) {
    throw new MdiError(
      "model_corrupt",
      `Cannot open the export: its ${what} is ${value ?? "in neither graph nor config"}`,
    );
  }
  return value;
}
