/** From a GGUF file's metadata to the shape of its decoder. */
import { MdiError } from "../../../wasm/error.ts";
import {
  headProblem,
  MAX_CONTEXT,
  MAX_HEAD_DIM,
  MAX_HEADS,
  MAX_LAYERS,
  MAX_VOCAB,
  MAX_WIDTH,
} from "../emit/limits.ts";
import type { ModelConfig, RopeScaling } from "../types.ts";
import type { GgufMetadata } from "./metadata.ts";

/** Architectures that the emitter writes; llama.cpp files Llama 2 and 3, TinyLlama, SmolLM2 and Mistral as "llama". */
const ARCHITECTURES = ["llama", "qwen2", "qwen3"];

/** The pre-tokenizers for which llama.cpp adds a BOS token where the file does not say. */
const BOS_BY_DEFAULT = ["llama3", "llama-v3", "llama-bpe", "falcon3"];

/** Texts of control tokens that end a turn, for files that name only the end of text. */
const END_OF_TURN = ["<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"];
/** tokenizer.ggml.token_type of a control token. */
const CONTROL = 3;

/**
 * Reads the config. `vocab` is the number of rows of the embedding, `ropeFactors` the values of the
 * tensor rope_freqs.weight where there is one.
 * @throws {MdiError} model_corrupt, model_unsupported
 */
export function ggufConfig(
  metadata: GgufMetadata,
  options: { file: string; vocab: number; ropeFactors?: number[] | undefined },
): ModelConfig {
  const { architecture } = metadata;
  const { file, vocab } = options;
  const unsupported = (why: string) =>
    new MdiError("model_unsupported", `Cannot run GGUF file ${file}: ${why}`, {
      details: { file },
    });
  if (!ARCHITECTURES.includes(architecture)) {
    throw unsupported(
      `its architecture is "${architecture}"; mdi runs ${ARCHITECTURES.join(", ")} from GGUF`,
    );
  }
  const parts = metadata.number("split.count", { min: 0, max: 65535 }) ?? 1;
  if (parts > 1) {
    throw unsupported(`it is one of ${parts} parts; join them with "llama-gguf-split --merge"`);
  }
  const experts = metadata.number("$.expert_count", { min: 0, max: 65535 }) ?? 0;
  if (experts > 0) throw unsupported(`it is a mixture of ${experts} experts`);

  const hidden = metadata.required("$.embedding_length", { min: 1, max: MAX_WIDTH });
  const heads = metadata.required("$.attention.head_count", { min: 1, max: MAX_HEADS });
  const kvHeads = metadata.number("$.attention.head_count_kv", { min: 1, max: heads }) ?? heads;
  const widths = { min: 1, max: MAX_HEAD_DIM };
  const headDim = metadata.number("$.attention.key_length", widths) ?? hidden / heads;
  const valueDim = metadata.number("$.attention.value_length", widths) ?? headDim;
  const rotated = metadata.number("$.rope.dimension_count", widths) ?? headDim;
  const problem = headProblem(heads, kvHeads, headDim);
  if (problem) throw unsupported(problem);
  if (valueDim !== headDim) {
    throw unsupported(`its keys are ${headDim} wide and its values ${valueDim}`);
  }
  if (rotated !== headDim) {
    throw unsupported(`it rotates ${rotated} of the ${headDim} values of a head; mdi rotates all`);
  }
  if (vocab < 1) {
    throw new MdiError(
      "model_corrupt",
      `Cannot use GGUF file ${file}: tensor token_embd.weight is missing or has one dimension`,
      { details: { file } },
    );
  }
  if (vocab > MAX_VOCAB) throw unsupported(`its vocabulary has ${vocab} tokens`);
  const ropeScaling = scalingOf(metadata, headDim, options.ropeFactors, unsupported);
  const context = metadata.required("$.context_length", { min: 1, max: 2 ** 31 });
  return {
    architecture,
    layers: metadata.required("$.block_count", { min: 1, max: MAX_LAYERS }),
    hidden,
    heads,
    kvHeads,
    headDim,
    intermediate: metadata.required("$.feed_forward_length", { min: 1, max: MAX_WIDTH }),
    vocab,
    context: Math.min(context, MAX_CONTEXT),
    bosToken: bosToken(metadata, vocab),
    eosTokens: eosTokens(metadata, vocab),
    normEpsilon: metadata.required("$.attention.layer_norm_rms_epsilon", {
      min: 0,
      max: 1,
      fraction: true,
    }),
    ropeTheta: metadata.number("$.rope.freq_base", { min: 1, max: 1e12, fraction: true }) ?? 10000,
    ...(ropeScaling && { ropeScaling }),
  };
}

function scalingOf(
  metadata: GgufMetadata,
  headDim: number,
  factors: number[] | undefined,
  unsupported: (why: string) => MdiError,
): RopeScaling | undefined {
  if (factors) {
    if (factors.length !== headDim / 2) {
      throw unsupported(`rope_freqs.weight has ${factors.length} factors for heads of ${headDim}`);
    }
    return { type: "factors", factors };
  }
  const bounds = { min: 1e-6, max: 1e6, fraction: true };
  const old = metadata.number("$.rope.scale_linear", bounds);
  const type = metadata.string("$.rope.scaling.type") ?? (old === undefined ? "none" : "linear");
  if (type === "none") return undefined;
  if (type !== "linear") throw unsupported(`its rotary scaling is "${type}"; mdi knows "linear"`);
  const factor = metadata.number("$.rope.scaling.factor", bounds) ?? old ?? 1;
  return factor === 1 ? undefined : { type: "linear", factor };
}

function bosToken(metadata: GgufMetadata, vocab: number): number | null {
  const add = metadata.boolean("tokenizer.ggml.add_bos_token") ??
    (metadata.string("tokenizer.ggml.model") === "llama" ||
      BOS_BY_DEFAULT.includes(metadata.string("tokenizer.ggml.pre") ?? ""));
  if (!add) return null;
  return metadata.number("tokenizer.ggml.bos_token_id", { min: 0, max: vocab - 1 }) ?? null;
}

function eosTokens(metadata: GgufMetadata, vocab: number): number[] {
  const ids = new Set<number>();
  for (const name of ["eos", "eot", "eom"]) {
    const id = metadata.number(`tokenizer.ggml.${name}_token_id`, { min: 0, max: vocab - 1 });
    if (id !== undefined) ids.add(id);
  }
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const types = metadata.get("tokenizer.ggml.token_type");
  if (Array.isArray(tokens) && Array.isArray(types)) {
    for (const text of END_OF_TURN) {
      const id = tokens.indexOf(text);
      if (id >= 0 && id < vocab && types[id] === CONTROL) ids.add(id);
    }
  }
  return [...ids];
}
