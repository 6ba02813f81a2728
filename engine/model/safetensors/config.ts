/** From a Hugging Face config.json to the shape of a decoder that mdi emits itself. */
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
import {
  countAt,
  type JsonObject,
  numberAt,
  objectAt,
  stringAt,
  tokensAt,
  valueAt,
} from "../hf/json_value.ts";
import type { ModelConfig, RopeScaling } from "../types.ts";

/** Which optional weights a model has. */
export interface DecoderFeatures {
  /** Whether the head is the embedding. */
  tied: boolean;
  /** Whether query, key and value have a bias. */
  inputBias: boolean;
  /** Whether the attention's output has a bias. */
  outputBias: boolean;
  /** Whether the MLP has biases. */
  mlpBias: boolean;
  /** Whether query and key heads are normalised. */
  headNorms: boolean;
}

/** The classes that mdi emits, and what they are called in a config. */
const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ["LlamaForCausalLM", "llama"],
  ["MistralForCausalLM", "mistral"],
  ["Qwen2ForCausalLM", "qwen2"],
  ["Qwen3ForCausalLM", "qwen3"],
]);

/**
 * Reads the config. `bosToken` is the config's own; whether the tokenizer adds it is the caller's to say.
 * @throws {MdiError} model_corrupt, model_unsupported
 */
export function safetensorsConfig(
  json: JsonObject,
  generation: JsonObject | undefined,
  directory: string,
): { config: ModelConfig; features: DecoderFeatures } {
  const unsupported = (why: string) =>
    new MdiError("model_unsupported", `Cannot run the safetensors model in ${directory}: ${why}`, {
      details: { path: directory },
    });
  const count = (key: string, max: number, fallback?: number): number => {
    const given = valueAt(json, key) ?? undefined;
    const value = given === undefined ? fallback : countAt(json, key);
    if (value === undefined || !Number.isInteger(value) || value < 1 || value > max) {
      throw new MdiError(
        "model_corrupt",
        `Cannot use ${directory}/config.json: ${key} is ${JSON.stringify(given) ?? "missing"}`,
        { details: { path: directory, key } },
      );
    }
    return value;
  };
  const architecture = architectureOf(json, unsupported);
  refuseUnknown(json, unsupported);

  const hidden = count("hidden_size", MAX_WIDTH);
  const heads = count("num_attention_heads", MAX_HEADS);
  const kvHeads = count("num_key_value_heads", heads, heads);
  const headDim = count("head_dim", MAX_HEAD_DIM, architecture === "qwen3" ? 128 : hidden / heads);
  const problem = headProblem(heads, kvHeads, headDim);
  if (problem) throw unsupported(problem);
  const vocab = count("vocab_size", MAX_VOCAB);
  const { theta, scaling } = ropeOf(json, unsupported);
  const eosTokens = [generation, json].map((file) => tokensAt(file, "eos_token_id"))
    .find((tokens) => tokens.length > 0) ?? [];
  const attentionBias = valueAt(json, "attention_bias") === true;
  return {
    config: {
      architecture,
      layers: count("num_hidden_layers", MAX_LAYERS),
      hidden,
      heads,
      kvHeads,
      headDim,
      intermediate: count("intermediate_size", MAX_WIDTH),
      vocab,
      context: Math.min(count("max_position_embeddings", 2 ** 31), window(json), MAX_CONTEXT),
      bosToken: tokensAt(json, "bos_token_id").find((id) => id < vocab) ?? null,
      eosTokens: [...new Set(eosTokens)].filter((id) => id < vocab),
      normEpsilon: numberAt(json, "rms_norm_eps") ?? 1e-6,
      ropeTheta: theta,
      ...(scaling && { ropeScaling: scaling }),
    },
    features: {
      tied: valueAt(json, "tie_word_embeddings") === true,
      inputBias: architecture === "qwen2" || attentionBias,
      outputBias: architecture !== "qwen2" && attentionBias,
      mlpBias: valueAt(json, "mlp_bias") === true,
      headNorms: architecture === "qwen3",
    },
  };
}

function architectureOf(json: JsonObject, unsupported: (why: string) => MdiError): string {
  const names = valueAt(json, "architectures");
  const name = Array.isArray(names)
    ? String(names[0])
    : stringAt(json, "model_type") ?? "not named";
  const architecture = ARCHITECTURES.get(name);
  if (architecture) return architecture;
  throw unsupported(
    `its architecture is ${name.slice(0, 100)}; mdi runs ${[...ARCHITECTURES.keys()].join(", ")}`,
  );
}

/** Refuses what would change the arithmetic without mdi knowing. */
function refuseUnknown(json: JsonObject, unsupported: (why: string) => MdiError): void {
  const activation = stringAt(json, "hidden_act") ?? "silu";
  if (activation !== "silu") throw unsupported(`its activation is "${activation}", not "silu"`);
  const quantised = objectAt(json, "quantization_config");
  if (quantised) {
    throw unsupported(
      `it is quantised by "${stringAt(quantised, "quant_method") ?? "an unnamed method"}"`,
    );
  }
  const rotated = numberAt(json, "partial_rotary_factor") ?? 1;
  if (rotated !== 1) throw unsupported(`it rotates ${rotated} of each head`);
}

/** Up to its sliding window a model attends to everything, so that is what mdi runs it for. */
function window(json: JsonObject): number {
  if (valueAt(json, "use_sliding_window") === false) return Infinity;
  const size = countAt(json, "sliding_window") ?? 0;
  return size > 0 ? size : Infinity;
}

/** Base and scaling: `rope_theta` and `rope_scaling`, or both in `rope_parameters` (transformers 5). */
function ropeOf(
  json: JsonObject,
  unsupported: (why: string) => MdiError,
): { theta: number; scaling: RopeScaling | undefined } {
  const rope = objectAt(json, "rope_scaling") ?? objectAt(json, "rope_parameters");
  const theta = numberAt(rope, "rope_theta") ?? numberAt(json, "rope_theta") ?? 10000;
  if (!(theta >= 1)) throw unsupported(`its rope_theta is ${theta}`);
  const type = stringAt(rope, "rope_type") ?? stringAt(rope, "type") ?? "default";
  const positive = (key: string): number => {
    const value = numberAt(rope, key);
    if (value === undefined || !(value > 0)) {
      throw unsupported(`its rotary scaling "${type}" has no positive ${key}`);
    }
    return value;
  };
  switch (type) {
    case "default":
      return { theta, scaling: undefined };
    case "linear":
      return { theta, scaling: { type: "linear", factor: positive("factor") } };
    case "llama3": {
      const scaling = {
        type: "llama3" as const,
        factor: positive("factor"),
        lowFreqFactor: positive("low_freq_factor"),
        highFreqFactor: positive("high_freq_factor"),
        originalContext: positive("original_max_position_embeddings"),
      };
      if (!(scaling.highFreqFactor > scaling.lowFreqFactor)) {
        throw unsupported(`its high_freq_factor is not above its low_freq_factor`);
      }
      return { theta, scaling };
    }
    default:
      throw unsupported(`its rotary scaling is "${type}"; mdi knows "linear" and "llama3"`);
  }
}
