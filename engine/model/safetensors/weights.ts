/** The weights of a Hugging Face decoder, found by their names in its state and checked for shape. */
import { MdiError } from "../../../wasm/error.ts";
import type { GgufType } from "../../../wasm/gguf/types.ts";
import { rangeData } from "../emit/file_range.ts";
import { readVector } from "../emit/vectors.ts";
import type { DecoderWeights, LayerWeights, Linear, Matrix } from "../emit/weights.ts";
import type { ModelConfig } from "../types.ts";
import type { DecoderFeatures } from "./config.ts";
import type { SafeTensor } from "./header.ts";

/** The dtypes that mdi computes with; GGUF names the same formats alike. */
const DTYPES: readonly GgufType[] = ["F32", "F16", "BF16"];

/** The tensors of one safetensors model. */
export class SafetensorsWeights implements DecoderWeights {
  readonly embed: Matrix;
  readonly #tensors: ReadonlyMap<string, SafeTensor>;
  readonly #config: ModelConfig;
  readonly #features: DecoderFeatures;

  /** @throws {MdiError} model_corrupt, model_unsupported where a tensor is not as the config says. */
  constructor(
    tensors: ReadonlyMap<string, SafeTensor>,
    config: ModelConfig,
    features: DecoderFeatures,
  ) {
    this.#tensors = tensors;
    this.#config = config;
    this.#features = features;
    this.embed = this.#matrix("model.embed_tokens.weight", config.vocab, config.hidden);
  }

  async layer(index: number): Promise<LayerWeights> {
    const { hidden, heads, kvHeads, headDim, intermediate } = this.#config;
    const { inputBias, outputBias, mlpBias, headNorms } = this.#features;
    const layer = `model.layers.${index}`;
    const attention = `${layer}.self_attn`;
    const queries = heads * headDim;
    const keys = kvHeads * headDim;
    return {
      inputNorm: await this.#vector(`${layer}.input_layernorm.weight`, hidden),
      postAttentionNorm: await this.#vector(`${layer}.post_attention_layernorm.weight`, hidden),
      query: await this.#linear(`${attention}.q_proj`, queries, hidden, inputBias),
      key: await this.#linear(`${attention}.k_proj`, keys, hidden, inputBias),
      value: await this.#linear(`${attention}.v_proj`, keys, hidden, inputBias),
      output: await this.#linear(`${attention}.o_proj`, hidden, queries, outputBias),
      gate: await this.#linear(`${layer}.mlp.gate_proj`, intermediate, hidden, mlpBias),
      up: await this.#linear(`${layer}.mlp.up_proj`, intermediate, hidden, mlpBias),
      down: await this.#linear(`${layer}.mlp.down_proj`, hidden, intermediate, mlpBias),
      ...(headNorms && {
        queryNorm: await this.#vector(`${attention}.q_norm.weight`, headDim),
        keyNorm: await this.#vector(`${attention}.k_norm.weight`, headDim),
      }),
    };
  }

  async head(): Promise<{ norm: Float32Array; weight: Matrix | null }> {
    const { hidden, vocab } = this.#config;
    return {
      norm: await this.#vector("model.norm.weight", hidden),
      weight: this.#features.tied ? null : this.#matrix("lm_head.weight", vocab, hidden),
    };
  }

  async #linear(name: string, n: number, k: number, bias: boolean): Promise<Linear> {
    return {
      weight: this.#matrix(`${name}.weight`, n, k),
      ...(bias && { bias: await this.#vector(`${name}.bias`, n) }),
    };
  }

  #matrix(name: string, n: number, k: number): Matrix {
    const { type, path, offset, bytes } = this.#tensor(name, [n, k]);
    return { type, n, k, data: rangeData(path, offset, bytes) };
  }

  async #vector(name: string, length: number): Promise<Float32Array> {
    const { type, path, offset } = this.#tensor(name, [length]);
    return await readVector(path, { type, offset, length });
  }

  #tensor(name: string, shape: number[]): SafeTensor & { type: GgufType } {
    const tensor = this.#tensors.get(name);
    if (!tensor) {
      throw new MdiError(
        "model_corrupt",
        `Cannot use the safetensors model: tensor ${name} is missing`,
        {
          details: { tensor: name },
        },
      );
    }
    const { dtype, path } = tensor;
    const type = DTYPES.find((type) => type === dtype);
    if (type === undefined) {
      throw new MdiError(
        "model_unsupported",
        `Cannot use tensor ${name} of ${path}: its dtype is ${dtype}; mdi computes with ${
          DTYPES.join(", ")
        }`,
        { details: { file: path, tensor: name, dtype } },
      );
    }
    if (tensor.shape.length !== shape.length || tensor.shape.some((dim, i) => dim !== shape[i])) {
      throw new MdiError(
        "model_corrupt",
        `Cannot use tensor ${name} of ${path}: its shape is [${
          tensor.shape.join(", ")
        }] where config.json says [${shape.join(", ")}]`,
        { details: { file: path, tensor: name } },
      );
    }
    return { ...tensor, type };
  }
}
