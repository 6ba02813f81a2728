/**
 * Writes the blocks of a Llama-like decoder (Llama, Mistral, Qwen2, Qwen3) as small ONNX graphs in the
 * fused style of onnxruntime-genai: GroupQueryAttention with the rotation inside, weights kept in their
 * GGUF type for mdi's own MatMulGguf and GatherGguf (wasm/block.ts). Pure: weights come as data.
 */
import { rowBytes } from "../../../wasm/gguf/types.ts";
import type { BlockRecipe, ModelConfig } from "../types.ts";
import { GraphBuilder } from "./graph_builder.ts";
import { rotaryTable } from "./rope.ts";
import type { DecoderWeights, LayerWeights, Linear, Matrix } from "./weights.ts";

/** Name of the embedding's tensor, which a tied head borrows. */
const EMBED_WEIGHT = "embed_tokens.weight";

/** All recipes in order: shared (the rotary tables), embed, layer.0 …, head. */
export async function* decoderBlocks(
  config: ModelConfig,
  weights: DecoderWeights,
): AsyncGenerator<BlockRecipe> {
  yield sharedBlock(config);
  yield embedBlock(weights.embed);
  for (let i = 0; i < config.layers; i++) yield layerBlock(config, i, await weights.layer(i));
  const { norm, weight } = await weights.head();
  yield headBlock(config, norm, weight, weights.embed);
}

/**
 * Asks for every weight once, so that a file that lacks one is refused before anything is written.
 * @throws {MdiError} as the weights do.
 */
export async function checkWeights(config: ModelConfig, weights: DecoderWeights): Promise<void> {
  for (let i = 0; i < config.layers; i++) await weights.layer(i);
  await weights.head();
}

function sharedBlock(config: ModelConfig): BlockRecipe {
  const graph = new GraphBuilder("shared");
  const dims = [config.context, config.headDim / 2];
  graph.table("cos_cache", dims, rotaryTable(config, Math.cos));
  graph.table("sin_cache", dims, rotaryTable(config, Math.sin));
  return graph.build();
}

function embedBlock(embed: Matrix): BlockRecipe {
  const graph = new GraphBuilder("embed");
  const ids = graph.input("input_ids", "INT64", [1, "T"]);
  const table = addMatrix(graph, EMBED_WEIGHT, embed);
  graph.node("GatherGguf", "embed_tokens", [table, ids], {
    domain: "mdi",
    attributes: matrixAttributes(embed),
    outputs: ["hidden_out"],
  });
  graph.output("hidden_out", "FLOAT", [1, "T", embed.k]);
  return graph.build();
}

function layerBlock(config: ModelConfig, index: number, weights: LayerWeights): BlockRecipe {
  const { hidden, kvHeads, headDim } = config;
  const graph = new GraphBuilder(`layer.${index}`);
  const x = graph.input("hidden", "FLOAT", [1, "T", hidden]);
  graph.input("attention_mask", "INT64", [1, "total"]);
  for (const name of ["past.key", "past.value"]) {
    graph.input(name, "FLOAT", [1, kvHeads, "P", headDim]);
  }

  const normed = norm(graph, "input_layernorm", x, weights.inputNorm, config);
  const attended = attention(graph, config, weights, normed);
  const residual = graph.node("Add", "attention_residual", [
    x,
    linear(graph, "o_proj", attended, weights.output),
  ]);

  // SwiGLU: down(silu(gate) · up).
  const input = norm(
    graph,
    "post_attention_layernorm",
    residual,
    weights.postAttentionNorm,
    config,
  );
  const gate = linear(graph, "gate_proj", input, weights.gate);
  const up = linear(graph, "up_proj", input, weights.up);
  const silu = graph.node("Mul", "silu", [gate, graph.node("Sigmoid", "sigmoid", [gate])]);
  const down = linear(graph, "down_proj", graph.node("Mul", "gated", [silu, up]), weights.down);
  graph.node("Add", "mlp_residual", [residual, down], { outputs: ["hidden_out"] });

  graph.output("hidden_out", "FLOAT", [1, "T", hidden]);
  for (const name of ["present.key", "present.value"]) {
    graph.output(name, "FLOAT", [1, kvHeads, "total", headDim]);
  }
  return graph.build();
}

function headBlock(
  config: ModelConfig,
  finalNorm: Float32Array,
  weight: Matrix | null,
  embed: Matrix,
): BlockRecipe {
  const graph = new GraphBuilder("head");
  const x = graph.input("hidden", "FLOAT", [1, "T", config.hidden]);
  const normed = norm(graph, "norm", x, finalNorm, config);
  const matrix = weight ?? embed;
  const name = weight
    ? addMatrix(graph, "lm_head.weight", weight)
    : graph.borrowed("lm_head.weight", {
      type: "UINT8",
      dims: [embed.n, rowBytes(embed.type, embed.k)],
      block: "embed",
      there: EMBED_WEIGHT,
    });
  graph.node("MatMulGguf", "lm_head", [normed, name], {
    domain: "mdi",
    attributes: matrixAttributes(matrix),
    outputs: ["logits"],
  });
  graph.output("logits", "FLOAT", [1, "T", config.vocab]);
  return graph.build();
}

/** Projections, rotation, cache and attention: [1,T,hidden] -> [1,T,heads·headDim]. */
function attention(
  graph: GraphBuilder,
  config: ModelConfig,
  weights: LayerWeights,
  normed: string,
): string {
  const { heads, kvHeads, headDim, context } = config;
  const { queryNorm, keyNorm } = weights;
  let query = linear(graph, "q_proj", normed, weights.query);
  let key = linear(graph, "k_proj", normed, weights.key);
  const value = linear(graph, "v_proj", normed, weights.value);
  if (queryNorm) query = headNorm(graph, "q_norm", query, queryNorm, config);
  if (keyNorm) key = headNorm(graph, "k_norm", key, keyNorm, config);
  const [lengths, total] = sequenceLengths(graph);
  const caches = ["cos_cache", "sin_cache"].map((name) =>
    graph.borrowed(name, {
      type: "FLOAT",
      dims: [context, headDim / 2],
      block: "shared",
      there: name,
    })
  );
  return graph.node(
    "GroupQueryAttention",
    "attention",
    [query, key, value, "past.key", "past.value", lengths, total, ...caches],
    {
      domain: "com.microsoft",
      attributes: {
        num_heads: BigInt(heads),
        kv_num_heads: BigInt(kvHeads),
        scale: 1 / Math.sqrt(headDim),
        do_rotary: 1n,
        rotary_interleaved: 0n,
        local_window_size: -1n,
      },
      outputs: ["attention", "present.key", "present.value"],
    },
  );
}

/** From attention_mask [1,P+T]: the index of the last position, INT32 [1], and P+T, an INT32 scalar. */
function sequenceLengths(graph: GraphBuilder): [string, string] {
  const int32 = { attributes: { to: 6n } };
  const one = graph.integers("one", [1n]);
  const sum = graph.node("ReduceSum", "mask_sum", ["attention_mask", one], {
    attributes: { keepdims: 0n },
  });
  const lengths = graph.node("Cast", "seqlens_k", [graph.node("Sub", "last", [sum, one])], int32);
  const shape = graph.node("Shape", "mask_shape", ["attention_mask"]);
  const columns = graph.node("Gather", "columns", [shape, graph.integers("axis", 1n)], {
    attributes: { axis: 0n },
  });
  return [lengths, graph.node("Cast", "total_sequence_length", [columns], int32)];
}

function norm(
  graph: GraphBuilder,
  name: string,
  input: string,
  weight: Float32Array,
  config: ModelConfig,
): string {
  return graph.node(
    "SimplifiedLayerNormalization",
    name,
    [input, graph.vector(`${name}.weight`, weight)],
    { attributes: { axis: -1n, epsilon: config.normEpsilon ?? 1e-5, stash_type: 1n } },
  );
}

/** RMSNorm of each head by itself. */
function headNorm(
  graph: GraphBuilder,
  name: string,
  input: string,
  weight: Float32Array,
  config: ModelConfig,
): string {
  const split = graph.integers(`${name}.split`, [0n, -1n, BigInt(config.headDim)]);
  const heads = graph.node("Reshape", `${name}.heads`, [input, split]);
  const normed = norm(graph, name, heads, weight, config);
  const shape = graph.node("Shape", `${name}.shape`, [input]);
  return graph.node("Reshape", `${name}.joined`, [normed, shape]);
}

function linear(
  graph: GraphBuilder,
  name: string,
  input: string,
  { weight, bias }: Linear,
): string {
  const product = graph.node("MatMulGguf", name, [
    input,
    addMatrix(graph, `${name}.weight`, weight),
  ], {
    domain: "mdi",
    attributes: matrixAttributes(weight),
  });
  if (!bias) return product;
  return graph.node("Add", `${name}.biased`, [product, graph.vector(`${name}.bias`, bias)]);
}

function addMatrix(graph: GraphBuilder, name: string, matrix: Matrix): string {
  const { type, n, k, data } = matrix;
  return graph.weight(name, { dims: [n, rowBytes(type, k)], data, dtype: type, parameters: n * k });
}

function matrixAttributes({ type, n, k }: Matrix): { type: string; K: bigint; N: bigint } {
  return { type, K: BigInt(k), N: BigInt(n) };
}
